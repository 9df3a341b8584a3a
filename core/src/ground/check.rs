//! Whether a ground that was read can be stood on: everything that is named in it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::format::unexpected;
use super::{Base, Flat, Form, Ground, GroundLife, Keeping, Kept};
use crate::canonical::DecodeError;
use crate::clock::Stamp;
use crate::members::{Charter, Member};
use crate::op::text::{CharId, Content};
use crate::op::{Kind, OpCode};

impl Ground {
    /// Whether everything that is named is there.
    pub(super) fn check(&self) -> Result<(), DecodeError> {
        let covers = |stamp: &Stamp| self.version.covers(&stamp.dot()) && stamp.lamport <= self.lamport;
        let keys: BTreeSet<_> = self.charter.members.iter().map(Member::first_key).collect();
        let secret = self.charter.secret.as_ref();
        if keys.len() < self.charter.members.len()
            || self.charter.members.iter().any(Member::has_a_key_twice)
            || secret.is_some_and(|secret| !self.version.covers(&secret.by))
            || keys.is_empty() && self.charter != Charter::default()
        {
            return Err(unexpected("members, each once, and what they said"));
        }
        let roots =
            self.nodes.values().filter(|node| matches!(node.life, GroundLife::Lives { stands: None, .. }));
        if roots.clone().count() > 1 || roots.clone().any(|root| root.parent.is_some()) {
            return Err(unexpected("one root, which stands below nothing"));
        }
        let insert = OpCode::named("node.insert").expect("it is a row");
        let (mut ops, mut places) = (BTreeMap::new(), BTreeSet::new());
        for (key, node) in &self.nodes {
            let mut is_one = |by: &Stamp, code: OpCode| {
                *ops.entry((by.dot(), by.index)).or_insert((key, code)) == (key, code)
            };
            let properties = match &node.life {
                GroundLife::Lives { properties, .. } => Some(properties),
                GroundLife::Never | GroundLife::Ended => None,
            };
            for (content, by_path) in [(Content::Text, &node.texts), (Content::List, &node.lists)] {
                for (path, kept) in by_path {
                    self.check_kept(kept, content, properties.and_then(|properties| properties.get(path)))?;
                }
            }
            let GroundLife::Lives { stands, properties, .. } = &node.life else { continue };
            if let Some((birth, place)) = stands
                && !(covers(birth) && is_one(birth, insert) && places.insert(place.stamp()))
            {
                return Err(unexpected("a birth behind the horizon, and a place of its own"));
            }
            for (path, base) in properties {
                let is_reset =
                    base.code.row().is_some_and(|row| matches!(row.kind, Kind::Reset(_) | Kind::Insert));
                if !covers(&base.by) || !is_one(&base.by, base.code) || is_reset != (base.form == Form::Whole)
                {
                    return Err(unexpected("a value's op"));
                }
                let content = if base.value.as_list().is_some() { Content::List } else { Content::Text };
                let is_there =
                    !node.kept(path, content).is_empty() || content.len(&base.value).unwrap_or(0) == 0;
                let fits = match base.form {
                    Form::Written(of) => of == content && of.fits(&base.value),
                    Form::Whole | Form::Made => true,
                };
                if !fits || base.is_made_of(content) && !is_there {
                    return Err(unexpected("a value and its characters"));
                }
            }
        }
        Ok(())
    }

    /// Whether what is kept of a property is what would be kept of it, and as much as its value says.
    fn check_kept(
        &self,
        kept: &Arc<[Kept]>,
        content: Content,
        base: Option<&Base>,
    ) -> Result<(), DecodeError> {
        let base = base.filter(|base| base.is_made_of(content));
        let len = base.and_then(|base| content.len(&base.value)).unwrap_or(0);
        let shown: u64 = kept.iter().filter(|run| run.shows()).map(|run| u64::from(run.len())).sum();
        if shown != u64::from(len) {
            return Err(unexpected("a name for each character that shows"));
        }
        let is_known =
            |id: CharId| id.dot.seq > 0 && (self.version.covers(&id.dot) || self.origins.contains(&id.dot));
        let is_of = |position, element| position == element || content == Content::List;
        let mut keeping = Keeping::new();
        for run in kept.iter() {
            for nth in 0..run.len() {
                let position = run.position(nth);
                match run.element(nth) {
                    Some(element) if is_known(position) && is_known(element) && is_of(position, element) => {
                        keeping.show(position, element);
                    }
                    None if is_known(position) => keeping.hide(|| position),
                    Some(_) | None => return Err(unexpected("characters of messages behind the horizon")),
                }
            }
        }
        if kept.is_empty() || keeping.finish() != *kept || !Flat::new(Arc::clone(kept)).is_unambiguous() {
            return Err(unexpected("characters that are kept, each once"));
        }
        Ok(())
    }
}
