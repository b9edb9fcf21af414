//! Sorting by a key that is a number or a text: the lists that people and clients are shown.
//!
//! Plain functions, any thread. The standard library's sort is compiled anew for each type that it sorts, at some 4 KB; here
//! it sorts places by their keys, so that all lists share it. Whatever is sorted often uses the standard library's.

/// Sorts so that the greatest number (the latest time) comes first; equal ones keep their order.
pub fn newest_first<T>(items: &mut Vec<T>, time: impl Fn(&T) -> u64) {
    let keys = items.iter().map(|item| !time(item)).collect();
    rearrange(items, order(keys));
}

/// Sorts by a number; equal ones keep their order.
pub fn by_key<T>(items: &mut Vec<T>, key: impl Fn(&T) -> u64) {
    let keys = items.iter().map(key).collect();
    rearrange(items, order(keys));
}

/// Sorts by a text; equal ones keep their order.
pub fn by_text<T>(items: &mut Vec<T>, text: impl Fn(&T) -> &str) {
    let keys = items.iter().map(|item| text(item).to_owned()).collect();
    rearrange(items, order(keys));
}

/// Returns the places of the keys from the least to the greatest. Compiled for two kinds of key, and that is all.
fn order<K: Ord>(keys: Vec<K>) -> Vec<usize> {
    let mut places: Vec<(K, usize)> = keys.into_iter().enumerate().map(|(place, key)| (key, place)).collect();
    places.sort_unstable();
    places.into_iter().map(|(_, place)| place).collect()
}

/// Puts the item at `order[n]` into place `n`.
fn rearrange<T>(items: &mut Vec<T>, order: Vec<usize>) {
    let mut from: Vec<Option<T>> = items.drain(..).map(Some).collect();
    items.extend(order.into_iter().filter_map(|place| from[place].take()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_as_the_standard_library_does() {
        let list = vec![("b", 2), ("a", 1), ("c", 2), ("a", 3)];
        let (mut numbers, mut texts, mut times) = (list.clone(), list.clone(), list.clone());
        by_key(&mut numbers, |(_, number)| *number);
        by_text(&mut texts, |(text, _)| text);
        newest_first(&mut times, |(_, time)| *time);
        assert_eq!(numbers, [("a", 1), ("b", 2), ("c", 2), ("a", 3)]);
        assert_eq!(texts, [("a", 1), ("a", 3), ("b", 2), ("c", 2)]);
        assert_eq!(times, [("a", 3), ("b", 2), ("c", 2), ("a", 1)]);
    }
}
