//! A short list that is mostly one item, and then takes no memory of its own.

use std::ops::{Deref, DerefMut};

/// Items in the order they were put in.
#[derive(Clone, Default)]
pub(super) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Vec<T>),
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(item) => std::slice::from_ref(item),
            Self::Many(items) => items,
        }
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(item) => std::slice::from_mut(item),
            Self::Many(items) => items,
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut few = Self::None;
        items.into_iter().for_each(|item| few.push(item));
        few
    }
}

impl<T> Few<T> {
    pub(super) fn push(&mut self, item: T) {
        self.insert(self.len(), item);
    }

    pub(super) fn insert(&mut self, at: usize, item: T) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(item),
            Self::One(other) => {
                let mut items = vec![other];
                items.insert(at, item);
                Self::Many(items)
            }
            Self::Many(mut items) => {
                items.insert(at, item);
                Self::Many(items)
            }
        };
    }

    pub(super) fn clear(&mut self) {
        *self = Self::None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_items_are_a_list_of_them() {
        let mut few = Few::default();
        for (at, item) in [(0, 5), (0, 3), (1, 4), (3, 6)] {
            few.insert(at, item);
            assert!(few.is_sorted() && few.contains(&item));
        }
        assert_eq!(few.iter().copied().collect::<Few<i32>>()[..], [3, 4, 5, 6]);
        few.clear();
        assert!(few.is_empty());
    }
}
