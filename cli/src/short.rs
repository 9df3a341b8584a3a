//! Long identities, short for people: a beginning that is still unambiguous. The daemon understands it.

use rtc_core::api::LogEntry;
use rtc_core::id::Dot;

/// Letters of a key, a room or a hash that are shown.
pub const SHOWN: usize = 8;

/// The beginning of an identity's text.
pub fn short(identity: impl ToString) -> String {
    identity.to_string().chars().take(SHOWN).collect()
}

/// A message's id by the beginning of its actor: `k7f2q3ab:12`.
pub fn dot(dot: &Dot) -> String {
    format!("{}:{}", short(dot.actor), dot.seq)
}

/// The shortest ids, no shorter than [`dot`]'s, that tell the messages of a list apart.
///
/// Two epochs of one key begin alike; their messages need longer ids only where they have the same number.
pub fn dots(entries: &[LogEntry]) -> Vec<String> {
    let mut sorted: Vec<(u64, String)> =
        entries.iter().map(|entry| (entry.id.seq, entry.id.actor.to_string())).collect();
    sorted.sort();
    entries
        .iter()
        .map(|entry| {
            let actor = entry.id.actor.to_string();
            let mine = (entry.id.seq, actor.clone());
            let at = sorted.partition_point(|other| *other < mine);
            let before = at.checked_sub(1).and_then(|before| sorted.get(before));
            let neighbours = [before, sorted.get(at + 1)].into_iter().flatten();
            let alike = neighbours
                .filter(|(seq, other)| *seq == entry.id.seq && *other != actor)
                .map(|(_, other)| actor.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count() + 1)
                .max();
            let shown = alike.unwrap_or(0).max(SHOWN);
            format!("{}:{}", actor.chars().take(shown).collect::<String>(), entry.id.seq)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc_core::id::{Actor, PeerKey};

    fn entry(key: u8, epoch: u64, seq: u64) -> LogEntry {
        let id = Dot { actor: Actor::new(PeerKey([key; 32]), epoch), seq };
        LogEntry { id, lamport: 1, time_ms: None, note: None, undone: false, own: false, ops: vec![] }
    }

    /// Whether `text` is that message's id, as the daemon understands it.
    fn names(text: &str, dot: &Dot) -> bool {
        text.rsplit_once(':').is_some_and(|(actor, seq)| {
            seq.parse() == Ok(dot.seq) && dot.actor.to_string().starts_with(actor)
        })
    }

    #[test]
    fn ids_are_as_long_as_they_must_be_to_name_one_message() {
        let entries = [entry(1, 7, 1), entry(1, 7, 2), entry(1, u64::MAX, 2), entry(9, 7, 1), entry(9, 7, 3)];
        let shown = dots(&entries);
        assert_eq!(shown[0].len(), SHOWN + 2);
        assert!(shown[1].len() > 50 && shown[2].len() > 50);
        for (text, entry) in shown.iter().zip(&entries) {
            let named: Vec<_> = entries.iter().filter(|other| names(text, &other.id)).collect();
            assert_eq!(named, [entry], "{text}");
        }
        assert!(names(&entries[0].id.to_string(), &entries[0].id));
    }
}
