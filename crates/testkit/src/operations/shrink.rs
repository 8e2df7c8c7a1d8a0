//! Makes a failing case smaller.

/// A case that knows smaller ones of itself.
pub trait Smaller: Sized {
    /// Cases with a little less, the most promising first.
    fn smaller(&self) -> Vec<Self>;
}

/// The smallest case that can be reached from `case` by steps each of which `fails`, and its failure. `runs` bounds the work.
pub fn shrink<C: Smaller>(
    mut case: C,
    mut failure: String,
    mut runs: usize,
    mut fails: impl FnMut(&C) -> Option<String>,
) -> (C, String) {
    'again: loop {
        for smaller in case.smaller() {
            if runs == 0 {
                return (case, failure);
            }
            runs -= 1;
            if let Some(found) = fails(&smaller) {
                (case, failure) = (smaller, found);
                continue 'again;
            }
        }
        return (case, failure);
    }
}

/// The lists that `list` makes with a half, a quarter, … or one of its elements left out.
pub fn without<T: Clone>(list: &[T]) -> Vec<Vec<T>> {
    let mut lists = Vec::new();
    let mut width = list.len();
    while width > 0 {
        for at in (0..list.len()).step_by(width) {
            let end = list.len().min(at + width);
            lists.push([&list[..at], &list[end..]].concat());
        }
        width /= 2;
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Numbers(Vec<u32>);

    impl Smaller for Numbers {
        fn smaller(&self) -> Vec<Self> {
            without(&self.0).into_iter().map(Self).collect()
        }
    }

    #[test]
    fn what_is_not_needed_is_left_out() {
        let fails = |case: &Numbers| (case.0.contains(&3) && case.0.contains(&8)).then(String::new);
        let (case, _) = shrink(Numbers((0..20).collect()), String::new(), 1000, fails);
        assert_eq!(case, Numbers(vec![3, 8]));
    }
}
