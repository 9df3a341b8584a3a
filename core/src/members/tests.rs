//! Attacks upon a room's members, and why none succeeds.

use super::{Act, BTreeSet, Deed as What, Former, Judgement, Member, PeerKey, Role, Stamp};
use crate::chain::Signature;
use crate::id::Actor;

/// What members said, each line a message of one op.
#[derive(Default)]
struct Tale {
    lines: Vec<Line>,
}

struct Line {
    /// A key's letter, and its epoch.
    actor: (char, u8),
    lamport: usize,
    seen: BTreeSet<usize>,
    deed: Deed,
}

#[derive(Clone, Copy)]
enum Deed {
    Edits,
    Makes(char, Role),
    Removes(char),
    /// Takes the place of that key.
    Follows(char),
    /// Says again that the first key gave way to the second, which gave way to its own.
    Retells(char, char),
}

use Deed::{Edits, Follows, Makes, Removes, Retells};
use Role::{Editor, Owner, Viewer};

/// The founder of every tale.
const FOUNDER: char = 'f';

fn key(name: char) -> PeerKey {
    PeerKey([u8::try_from(name).unwrap(); 32])
}

/// What has been signed is not looked at any more here.
fn rotation(old: char, next: char) -> What {
    let former = Former { key: key(old), signature: Signature([0; 64]) };
    What::Rotate { former, next: key(next) }
}

impl Tale {
    /// A message of a key's first epoch, which has seen those messages, what they had seen, and its own.
    fn says(&mut self, name: char, seen: &[usize], deed: Deed) -> usize {
        self.says_as((name, 1), seen, deed)
    }

    fn says_as(&mut self, actor: (char, u8), seen: &[usize], deed: Deed) -> usize {
        let own = (0..self.lines.len()).filter(|&i| self.lines[i].actor == actor);
        let named: BTreeSet<usize> = seen.iter().copied().chain(own).collect();
        let past = named.iter().flat_map(|&i| &self.lines[i].seen).copied();
        let seen: BTreeSet<usize> = past.chain(named.iter().copied()).collect();
        let lamport = 1 + seen.iter().map(|&i| self.lines[i].lamport).max().unwrap_or(0);
        self.lines.push(Line { actor, lamport, seen, deed });
        self.lines.len() - 1
    }

    fn stamp(&self, line: usize) -> Stamp {
        let Line { actor: (name, epoch), lamport, .. } = self.lines[line];
        let actor = Actor::new(key(name), epoch.into());
        Stamp { lamport: lamport as u64, actor, seq: line as u64, index: 0 }
    }

    /// The lines that are acts, and what is judged of them.
    fn judge(&self) -> (Vec<usize>, Judgement) {
        let order: Vec<usize> =
            (0..self.lines.len()).filter(|&i| !matches!(self.lines[i].deed, Edits)).collect();
        let act = |&i: &usize| {
            let (subject, deed) = match self.lines[i].deed {
                Makes(subject, role) => (subject, What::Grant(role)),
                Removes(subject) => (subject, What::Remove),
                Follows(old) => (old, rotation(old, self.lines[i].actor.0)),
                Retells(old, next) => (old, rotation(old, next)),
                Edits => unreachable!("those are no acts"),
            };
            Act { stamp: self.stamp(i), subject: key(subject), deed, name: None }
        };
        let acts: Vec<Act> = order.iter().map(act).collect();
        let has_seen = |by: usize, of: usize| self.lines[order[by]].seen.contains(&order[of]);
        let judgement = Judgement::of(&[Member::founder(key(FOUNDER))], &acts, has_seen);
        (order, judgement)
    }

    /// Checks which lines count, and what everybody is in the end.
    #[track_caller]
    fn check(&self, counting: &[usize], roles: &[(char, Option<Role>)]) {
        let (order, judgement) = self.judge();
        let counts = |&i: &usize| match order.iter().position(|&act| act == i) {
            Some(act) => judgement.is_effective(act),
            None => judgement.counts(
                &key(self.lines[i].actor.0),
                Editor,
                |act| self.lines[i].seen.contains(&order[act]),
                |act| self.lines[order[act]].seen.contains(&i),
            ),
        };
        let found: Vec<usize> = (0..self.lines.len()).filter(counts).collect();
        assert_eq!(found, counting, "of {} lines", self.lines.len());
        for &(name, role) in roles {
            assert_eq!(judgement.role(&key(name)), role, "{name}");
        }
    }
}

#[test]
fn members_may_do_what_their_role_says() {
    let mut tale = Tale::default();
    let editor = tale.says('f', &[], Makes('e', Editor));
    let viewer = tale.says('f', &[], Makes('v', Viewer));
    let edits = tale.says('e', &[editor], Edits);
    tale.says('v', &[viewer], Edits);
    tale.says('x', &[editor, viewer], Edits);
    tale.says('e', &[], Makes('x', Viewer));
    tale.says('v', &[], Makes('v', Editor));
    tale.check(
        &[editor, viewer, edits],
        &[('f', Some(Owner)), ('e', Some(Editor)), ('v', Some(Viewer)), ('x', None)],
    );
}

#[test]
fn what_was_written_before_its_author_knew_he_was_a_member_does_not_count() {
    let mut tale = Tale::default();
    let early = tale.says('e', &[], Edits);
    let grant = tale.says('f', &[early], Makes('e', Editor));
    let later = tale.says('e', &[grant], Edits);
    tale.check(&[grant, later], &[('e', Some(Editor))]);
}

#[test]
fn a_removal_cuts_where_the_remover_had_seen_and_concerns_every_epoch() {
    let mut tale = Tale::default();
    let grant = tale.says('f', &[], Makes('e', Editor));
    let seen = tale.says('e', &[grant], Edits);
    let other_epoch = tale.says_as(('e', 2), &[grant], Edits);
    let removal = tale.says('f', &[seen], Removes('e'));
    tale.says('e', &[], Edits);
    // As if from before the removal, in a new epoch.
    tale.says_as(('e', 3), &[grant], Edits);
    tale.says_as(('e', 3), &[removal], Edits);
    assert!(!tale.lines[removal].seen.contains(&other_epoch), "so it lies past the cut");
    tale.check(&[grant, seen, removal], &[('e', None)]);
}

#[test]
fn nobody_revives_himself_nor_is_revived_by_whom_he_appoints() {
    let mut tale = Tale::default();
    let grant = tale.says('f', &[], Makes('a', Owner));
    let friend = tale.says('a', &[grant], Makes('b', Owner));
    let removal = tale.says('f', &[friend], Removes('a'));
    tale.says('a', &[removal], Makes('a', Owner));
    // As if he had not known.
    tale.says_as(('a', 2), &[grant], Makes('a', Owner));
    let by_friend = tale.says('b', &[removal], Makes('a', Owner));
    tale.says('a', &[by_friend], Edits);
    tale.says('a', &[], Makes('x', Editor));
    tale.check(&[grant, friend, removal], &[('a', None), ('b', Some(Owner)), ('x', None)]);
}

#[test]
fn nobody_removes_who_appointed_him_directly_or_through_others() {
    let mut tale = Tale::default();
    let a = tale.says('f', &[], Makes('a', Owner));
    let b = tale.says('a', &[a], Makes('b', Owner));
    let c = tale.says('b', &[b], Makes('c', Owner));
    for (who, whom) in [('c', 'b'), ('c', 'a'), ('c', 'f'), ('b', 'a'), ('a', 'f')] {
        tale.says(who, &[c], Removes(whom));
        tale.says(who, &[c], Makes(whom, Viewer));
    }
    let removal = tale.says('a', &[c], Removes('c'));
    tale.check(
        &[a, b, c, removal],
        &[('f', Some(Owner)), ('a', Some(Owner)), ('b', Some(Owner)), ('c', None)],
    );
}

#[test]
fn of_two_siblings_who_remove_each_other_the_elder_wins() {
    let mut tale = Tale::default();
    let a = tale.says('f', &[], Makes('a', Owner));
    let b = tale.says('f', &[], Makes('b', Owner));
    let elder = tale.says('a', &[b], Removes('b'));
    tale.says('b', &[b], Removes('a'));
    tale.check(&[a, b, elder], &[('a', Some(Owner)), ('b', None)]);
}

#[test]
fn who_joins_first_by_one_grant_is_senior_whoever_gave_a_later_one() {
    let mut tale = Tale::default();
    let a = tale.says('f', &[], Makes('a', Owner));
    let b = tale.says('a', &[a], Makes('b', Editor));
    let raised = tale.says('f', &[b], Makes('b', Owner));
    let removal = tale.says('a', &[raised], Removes('b'));
    tale.says('b', &[raised], Removes('a'));
    tale.check(&[a, b, raised, removal], &[('a', Some(Owner)), ('b', None)]);
}

#[test]
fn grants_past_a_cut_are_void_and_so_is_all_that_follows_from_them() {
    let mut tale = Tale::default();
    let a = tale.says('f', &[], Makes('a', Owner));
    let before = tale.says('a', &[a], Makes('b', Editor));
    let removal = tale.says('f', &[before], Removes('a'));
    let past = tale.says('a', &[], Makes('c', Owner));
    let next = tale.says('c', &[past], Makes('d', Owner));
    tale.says('d', &[next, removal], Removes('b'));
    tale.says('d', &[], Edits);
    let stays = tale.says('b', &[removal], Edits);
    tale.check(&[a, before, removal, stays], &[('b', Some(Editor)), ('c', None), ('d', None)]);
}

#[test]
fn who_is_admitted_again_counts_from_then_on() {
    let mut tale = Tale::default();
    let grant = tale.says('f', &[], Makes('e', Editor));
    let removal = tale.says('f', &[], Removes('e'));
    tale.says('e', &[grant], Edits);
    let again = tale.says('f', &[removal], Makes('e', Editor));
    tale.says('e', &[removal], Edits);
    let counts = tale.says('e', &[again], Edits);
    let in_new_epoch = tale.says_as(('e', 2), &[again], Edits);
    // Hidden in a new epoch, as if from before.
    tale.says_as(('e', 3), &[grant], Edits);
    tale.check(&[grant, removal, again, counts, in_new_epoch], &[('e', Some(Editor))]);
}

#[test]
fn a_removal_beats_a_concurrent_grant() {
    let mut tale = Tale::default();
    let a = tale.says('f', &[], Makes('a', Owner));
    let e = tale.says('f', &[], Makes('e', Viewer));
    let removal = tale.says('f', &[], Removes('e'));
    let concurrent = tale.says('a', &[a, e], Makes('e', Owner));
    tale.says('e', &[concurrent, removal], Edits);
    tale.check(&[a, e, removal, concurrent], &[('e', None)]);
}

#[test]
fn a_lesser_role_takes_the_greater_ones_rights_from_its_cut_on() {
    let mut tale = Tale::default();
    let grant = tale.says('f', &[], Makes('e', Owner));
    let before = tale.says('e', &[grant], Makes('x', Viewer));
    let edit = tale.says('e', &[], Edits);
    let demotion = tale.says('f', &[edit], Makes('e', Editor));
    tale.says('e', &[], Makes('y', Viewer));
    let still_edits = tale.says('e', &[demotion], Edits);
    let viewer = tale.says('f', &[still_edits], Makes('e', Viewer));
    tale.says('e', &[], Edits);
    tale.check(
        &[grant, before, edit, demotion, still_edits, viewer],
        &[('e', Some(Viewer)), ('x', Some(Viewer)), ('y', None)],
    );
}

#[test]
fn everybody_may_leave_and_be_less_than_he_is_and_never_more() {
    let mut tale = Tale::default();
    let grant = tale.says('f', &[], Makes('e', Editor));
    tale.says('e', &[grant], Makes('e', Owner));
    let less = tale.says('e', &[], Makes('e', Viewer));
    tale.says('e', &[], Edits);
    let leaves = tale.says('e', &[], Removes('e'));
    let founder = tale.says('f', &[leaves], Makes('f', Editor));
    tale.says('f', &[], Makes('e', Editor));
    let edits = tale.says('f', &[], Edits);
    tale.check(&[grant, less, leaves, founder, edits], &[('e', None), ('f', Some(Editor))]);
}

#[test]
fn what_two_epochs_of_one_key_say_of_it_at_once_both_counts() {
    let mut tale = Tale::default();
    let grant = tale.says('f', &[], Makes('e', Owner));
    let less = tale.says('e', &[grant], Makes('e', Viewer));
    let leaves = tale.says_as(('e', 2), &[grant], Removes('e'));
    tale.check(&[grant, less, leaves], &[('e', None)]);
}

#[test]
fn seniors_and_names_outlast_those_who_are_gone() {
    let before = [
        Member::founder(key('f')),
        Member { name: "Ada".into(), ..Member::unknown(key('a')) },
        Member { role: Some(Owner), ..Member::unknown(key('b')) },
    ];
    let act = |author, lamport, subject, role: Option<Role>| {
        let stamp = Stamp { lamport, actor: Actor::new(key(author), 1), seq: 1, index: 0 };
        Act { stamp, subject: key(subject), deed: role.map_or(What::Remove, What::Grant), name: None }
    };
    let acts = [act('b', 1, 'a', Some(Owner)), act('f', 2, 'a', Some(Editor)), act('a', 3, 'b', None)];
    let judgement = Judgement::of(&before, &acts, |by, of| of < by);
    let effective: Vec<usize> = (0..acts.len()).filter(|&i| judgement.is_effective(i)).collect();
    assert_eq!(effective, [1]);
    let found: Vec<(PeerKey, Option<Role>, String)> =
        judgement.members().map(|member| (member.key, member.role, member.name)).collect();
    assert_eq!(
        found,
        [
            (key('f'), Some(Owner), String::new()),
            (key('a'), Some(Editor), "Ada".to_owned()),
            (key('b'), Some(Owner), String::new()),
        ]
    );
}

#[test]
fn who_left_says_nothing_any_more_of_himself() {
    let mut tale = Tale::default();
    let leaves = tale.says('f', &[], Removes('f'));
    tale.says('f', &[], Makes('f', Viewer));
    let in_other_epoch = tale.says_as(('f', 2), &[], Makes('f', Editor));
    tale.check(&[leaves, in_other_epoch], &[('f', None)]);
}

#[test]
fn a_member_is_one_by_the_first_grant_that_nothing_took_away() {
    let mut tale = Tale::default();
    let first = tale.says('f', &[], Makes('e', Viewer));
    tale.says('f', &[], Makes('e', Editor));
    let check = |tale: &Tale, by: Option<usize>| {
        let (order, judgement) = tale.judge();
        assert_eq!(judgement.admitted_by(&key('e')).map(|act| order[act]), by);
        assert_eq!([judgement.admitted_by(&key('f')), judgement.admitted_by(&key('x'))], [None, None]);
    };
    check(&tale, Some(first));
    tale.says('f', &[], Makes('e', Viewer));
    check(&tale, Some(first));
    tale.says('f', &[], Removes('e'));
    check(&tale, None);
    let again = tale.says('f', &[], Makes('e', Editor));
    check(&tale, Some(again));
}

#[test]
fn a_new_key_has_the_seat_of_the_old_one_which_may_do_nothing_more() {
    let mut tale = Tale::default();
    let editor = tale.says('f', &[], Makes('e', Editor));
    let before = tale.says('e', &[editor], Edits);
    tale.says('n', &[before], Edits);
    let follows = tale.says('n', &[before], Follows('e'));
    let after = tale.says('n', &[], Edits);
    tale.says('e', &[], Edits);
    tale.says('e', &[follows], Edits);
    tale.says_as(('n', 2), &[before], Edits);
    tale.check(&[editor, before, follows, after], &[('e', None), ('n', Some(Editor))]);
}

#[test]
fn who_rotates_is_as_senior_as_he_was() {
    let mut tale = Tale::default();
    let senior = tale.says('f', &[], Makes('s', Owner));
    let junior = tale.says('s', &[senior], Makes('j', Owner));
    let founder = tale.says('g', &[junior], Follows('f'));
    let follows = tale.says('t', &[founder], Follows('s'));
    tale.says('j', &[follows], Removes('t'));
    tale.says('t', &[], Removes('g'));
    tale.says('t', &[], Removes('f'));
    let removes = tale.says('t', &[], Removes('j'));
    let again = tale.says('h', &[founder], Follows('g'));
    let less = tale.says('h', &[removes], Makes('t', Viewer));
    tale.check(
        &[senior, junior, founder, follows, removes, again, less],
        &[('h', Some(Owner)), ('g', None), ('f', None), ('t', Some(Viewer)), ('s', None), ('j', None)],
    );
}

#[test]
fn a_removal_concerns_the_member_by_whichever_key_and_nobody_comes_back_by_rotating() {
    for knows in [false, true] {
        let mut tale = Tale::default();
        let editor = tale.says('f', &[], Makes('e', Editor));
        let follows = tale.says('n', &[editor], Follows('e'));
        let removes = match knows {
            true => tale.says('f', &[follows], Removes('n')),
            false => tale.says('f', &[], Removes('e')),
        };
        tale.says('n', &[follows], Edits);
        tale.says('m', &[follows, removes], Follows('n'));
        tale.says('m', &[removes], Follows('e'));
        tale.says('m', &[], Edits);
        let mut counting = vec![editor, removes];
        // One that the removal has not seen goes with it.
        if knows {
            counting.insert(1, follows);
        }
        tale.check(&counting, &[('e', None), ('n', None), ('m', None)]);
    }
}

#[test]
fn of_two_rotations_of_one_key_the_first_counts() {
    let mut tale = Tale::default();
    let editor = tale.says('f', &[], Makes('e', Editor));
    let later = tale.says('e', &[editor], Edits);
    tale.says('n', &[later], Follows('e'));
    let first = tale.says('m', &[editor], Follows('e'));
    tale.says('n', &[], Edits);
    let edits = tale.says('m', &[], Edits);
    tale.check(&[editor, first, edits], &[('m', Some(Editor)), ('n', None), ('e', None)]);
}

#[test]
fn a_rotation_that_was_lost_and_said_again_counts_as_one() {
    let mut tale = Tale::default();
    let editor = tale.says('f', &[], Makes('e', Editor));
    let before = tale.says('e', &[editor], Edits);
    let lost = tale.says('n', &[before], Follows('e'));
    let edits = tale.says('n', &[], Edits);
    let again = tale.says_as(('n', 2), &[editor], Follows('e'));
    let later = tale.says_as(('n', 2), &[], Edits);
    let stolen = tale.says('e', &[], Edits);
    // One that knows of the others brings nothing back.
    tale.says_as(('n', 3), &[stolen, lost], Follows('e'));
    let counting = [editor, before, lost, edits, again, later];
    tale.check(&counting, &[('n', Some(Editor)), ('e', None)]);
}

/// A founder and a member, each of whom rotates twice, loses all, and says that again where he knows of nothing but that he is a member.
#[test]
fn a_succession_that_was_lost_and_said_again_is_the_one_that_others_hold() {
    for name in ['f', 'e'] {
        let mut tale = Tale::default();
        let editor = tale.says('f', &[], Makes('e', Editor));
        let before = tale.says(name, &[editor], Edits);
        let first = tale.says('m', &[before], Follows(name));
        let between = tale.says('m', &[], Edits);
        let second = tale.says('n', &[between], Follows('m'));
        let after = tale.says('n', &[], Edits);
        let retells = tale.says_as(('n', 2), &[editor], Retells(name, 'm'));
        let again = tale.says_as(('n', 2), &[], Follows('m'));
        let later = tale.says_as(('n', 2), &[], Edits);
        assert!(tale.stamp(retells) < tale.stamp(first) && tale.stamp(again) < tale.stamp(second));
        // Neither old key comes back by it, whatever it knows of.
        tale.says('m', &[retells], Edits);
        tale.says_as(('m', 2), &[first, retells], Edits);
        tale.says_as((name, 2), &[editor, retells], Edits);
        let counting = [editor, before, first, between, second, after, retells, again, later];
        tale.check(
            &counting,
            &[('n', Some(if name == 'f' { Owner } else { Editor })), ('m', None), (name, None)],
        );
        // Who knows of the later one only removes the member, who does not come back by saying it once more.
        if name == 'e' {
            let removes = tale.says('f', &[later], Removes('n'));
            tale.says('n', &[removes], Edits);
            let unknown = tale.says_as(('n', 3), &[editor], Retells('e', 'm'));
            tale.says_as(('n', 3), &[unknown], Edits);
            let counting = [editor, first, second, retells, again, later, removes, unknown];
            tale.check(&counting, &[('n', None), ('m', None), ('e', None)]);
        }
    }
}

#[test]
fn who_is_admitted_again_by_an_old_name_is_so_with_his_newest_key() {
    let mut tale = Tale::default();
    let editor = tale.says('f', &[], Makes('e', Editor));
    let follows = tale.says('n', &[editor], Follows('e'));
    let removes = tale.says('f', &[follows], Removes('n'));
    let again = tale.says('f', &[], Makes('e', Viewer));
    tale.says('e', &[again], Edits);
    tale.says('n', &[again], Edits);
    tale.check(&[editor, follows, removes, again], &[('e', None), ('n', Some(Viewer))]);
}

#[test]
fn whoever_invites_a_key_that_another_takes_has_no_power_over_him() {
    let mut tale = Tale::default();
    let owner = tale.says('f', &[], Makes('m', Owner));
    // The founder rotates; the owner says as from before that he admits the new key, as a viewer.
    let follows = tale.says('g', &[owner], Follows('f'));
    let claims = tale.says('m', &[owner], Makes('g', Viewer));
    let removes = tale.says('m', &[], Removes('g'));
    let edits = tale.says('g', &[follows], Edits);
    tale.says('m', &[edits], Removes('g'));
    tale.check(&[owner, follows, claims, removes, edits, 5], &[('g', Some(Owner)), ('f', None)]);
}

#[test]
fn nobody_has_more_keys_one_after_the_other_than_he_may() {
    let mut tale = Tale::default();
    let names: Vec<char> = ('\u{80}'..).take(crate::limits::SEAT_KEYS_MAX + 1).collect();
    let mut last = tale.says('f', &[], Makes(names[0], Editor));
    for pair in names.windows(2) {
        last = tale.says(pair[1], &[last], Follows(pair[0]));
    }
    let counting: Vec<usize> = (0..last).collect();
    let end = names.len() - 1;
    tale.check(&counting, &[(names[end - 1], Some(Editor)), (names[end], None)]);
}
