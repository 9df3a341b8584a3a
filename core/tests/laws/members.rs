//! Who may do what is a function of the messages held: rooms with members show the naive fold, however their messages come.

use proptest::prelude::*;
use rtc_core::message::Message;
use rtc_core::naive;
use rtc_core::op::Kind;
use rtc_core::replica::Replica;
use rtc_core::scene::Root;

use crate::horizon::{check_chain, check_exact, known, nothing, unforeseen_parts};
use crate::recipe::{self, Mix, with_members};
use crate::snapshot::check_away;
use crate::stand::check_stand;
use crate::{check, follow, scene, shuffled, soak};

fn mix() -> impl Strategy<Value = Mix> {
    prop_oneof![4 => Just(Mix::Members), 1 => Just(Mix::Everything), 1 => recipe::kindred()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000 * soak(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn members_in_any_order_and_duplication_give_the_naive_fold(mix in mix(), steps in recipe::steps(32), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let mut replica = Replica::new(with_members());
        let mut mirror = scene(&replica);
        let mut held: Vec<Message> = Vec::new();
        for message in shuffled(&recipe::messages_of(mix, &steps), &order) {
            replica.apply(&message);
            held.push(message);
            check(&replica, &held);
            follow(&mut mirror, replica.take_changes());
            prop_assert_eq!(&mirror, &scene(&replica));
        }
    }

    #[test]
    fn members_in_batches_give_the_naive_fold(steps in recipe::steps(80), order in prop::collection::vec(any::<u32>(), 1..48), size in 1..30_usize) {
        let messages = shuffled(&recipe::messages_of(Mix::Members, &steps), &order);
        let mut replica = Replica::new(with_members());
        for batch in messages.chunks(size) {
            replica.apply_all(batch);
        }
        check(&replica, &messages);
    }

    #[test]
    fn members_with_clocks_as_advances_give_the_naive_fold(steps in recipe::steps(60)) {
        let messages = recipe::messages_of(Mix::Members, &steps);
        let mut replica = Replica::new(with_members());
        replica.apply_all(&recipe::with_advances(&messages));
        check(&replica, &messages);
    }

    #[test]
    fn a_founding_message_that_comes_late_judges_what_came_before(steps in recipe::steps(40), at in any::<prop::sample::Index>()) {
        let messages = recipe::messages_of(Mix::Members, &steps);
        let (before, after) = messages.split_at(at.index(messages.len()));
        let mut replica = Replica::new(Root::default());
        replica.apply_all(before);
        let mut mirror = scene(&replica);
        replica.take_changes();
        replica.found(with_members().founder.unwrap());
        follow(&mut mirror, replica.take_changes());
        prop_assert_eq!(&mirror, &scene(&replica));
        replica.apply_all(after);
        check(&replica, &messages);
    }

    #[test]
    fn undo_never_touches_members(steps in recipe::steps(60)) {
        let messages = recipe::messages_of(Mix::Members, &steps);
        let mut without = messages.clone();
        for op in without.iter_mut().flat_map(|message| &mut message.ops) {
            if op.code.row().is_some_and(|row| matches!(row.kind, Kind::Undo | Kind::Redo)) {
                *op = nothing();
            }
        }
        let root = with_members();
        prop_assert_eq!(naive::fold(&root, &messages).charter, naive::fold(&root, &without).charter);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300 * soak(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_room_with_members_that_was_away_shows_the_naive_fold(steps in recipe::steps(40), away in 0..40_usize, order in prop::collection::vec(any::<u32>(), 1..32), is_late in any::<bool>()) {
        check_away(with_members(), &recipe::messages_of(Mix::Members, &steps), away, 8, &order, is_late);
    }

    #[test]
    fn a_ground_keeps_who_the_members_are(steps in prop::collection::vec(recipe::steps(30), 2..=2), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let (messages, ends) = unforeseen_parts(Mix::Members, &steps);
        check_exact(&with_members(), &messages, ends[0], &order);
    }

    #[test]
    fn horizons_one_by_one_leave_the_members_that_the_last_leaves(steps in prop::collection::vec(recipe::steps(20), 3..=3)) {
        let (messages, ends) = unforeseen_parts(Mix::Members, &steps);
        check_chain(&with_members(), &messages, &ends);
    }

    #[test]
    fn members_outside_of_a_horizon_are_no_part_of_it(steps in recipe::steps(40), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..4), order in prop::collection::vec(any::<u32>(), 1..32)) {
        check_stand(&with_members(), &known(recipe::messages_of(Mix::Members, &steps)), &picks, &order);
    }
}
