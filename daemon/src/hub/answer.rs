//! Long answers in pages, so that no frame grows with the scene.

use rtc_core::api::{Answer, Blamed, EditOp, LogEntry, Node, Reply};
use rtc_core::value::Value;

use crate::hub::Call;

/// Roughly how many bytes one page takes.
const PAGE_BYTES: usize = 256 * 1024;

/// What can be long.
pub(super) trait Page: Sized {
    /// Roughly how many bytes it takes.
    fn weigh(&self) -> usize;
    /// The answer that carries a page.
    fn reply(page: Vec<Self>) -> Reply;
}

impl Page for Node {
    fn weigh(&self) -> usize {
        let properties = self.properties.iter().map(|(path, value)| path.len() + weigh(value));
        64 + self.key.len()
            + self.children.iter().map(|key| key.len() + 8).sum::<usize>()
            + properties.sum::<usize>()
    }

    fn reply(page: Vec<Self>) -> Reply {
        Reply::Scene(page)
    }
}

impl Page for LogEntry {
    fn weigh(&self) -> usize {
        let op = |op: &EditOp| {
            let options = op.options.iter().map(|(name, value)| name.len() + weigh(value));
            64 + op.key.len() + op.value.as_ref().map_or(0, weigh) + options.sum::<usize>()
        };
        160 + self.ops.iter().map(op).sum::<usize>()
    }

    fn reply(page: Vec<Self>) -> Reply {
        Reply::Log(page)
    }
}

impl Call {
    /// Answers with as many pages as it takes, at least one.
    pub(super) fn answer_in_pages<T: Page>(&self, items: Vec<T>) {
        let mut pages = vec![Vec::new()];
        let mut bytes = 0;
        for item in items {
            let weight = item.weigh();
            if bytes > 0 && bytes + weight > PAGE_BYTES {
                pages.push(Vec::new());
                bytes = 0;
            }
            bytes += weight;
            pages.last_mut().expect("there is always a page").push(item);
        }
        let last = pages.len() - 1;
        let answers = pages.into_iter().enumerate();
        let answers =
            answers.map(|(n, page)| Answer { id: self.id, more: n < last, result: Ok(T::reply(page)) });
        self.caller.answer(answers.collect());
    }
}

impl Page for Blamed {
    fn weigh(&self) -> usize {
        self.message.weigh()
    }

    fn reply(page: Vec<Self>) -> Reply {
        Reply::Blame(page)
    }
}

fn weigh(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 9,
        Value::Text(text) => text.len() + 5,
        Value::List(list) => 5 + list.iter().map(weigh).sum::<usize>(),
        Value::Map(map) => 5 + map.iter().map(|(key, value)| key.len() + 5 + weigh(value)).sum::<usize>(),
    }
}
