//! Figures of several runs, and what they come to.

/// Figures of the same kind, one for each run; there is at least one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series(Vec<f64>);

impl FromIterator<f64> for Series {
    fn from_iter<T: IntoIterator<Item = f64>>(figures: T) -> Self {
        Self(figures.into_iter().collect())
    }
}

impl Series {
    /// The figure in the middle; of an even number, the mean of the two there.
    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The median and, in brackets, the lowest and the highest figure of the middle half.
    pub(crate) fn cell(&self, decimals: usize) -> String {
        let sorted = self.sorted();
        let quarter = (sorted.len() - 1) / 4;
        let (low, high) = (sorted[quarter], sorted[sorted.len() - 1 - quarter]);
        let median = self.median();
        format!("{median:.decimals$} ({low:.decimals$}–{high:.decimals$})")
    }

    /// Combines each figure with that of `other` of the same run: the two share what else the machine did meanwhile.
    pub(crate) fn zip_with(&self, other: &Self, combine: impl Fn(f64, f64) -> f64) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        pairs
            .map(|(ours, theirs)| combine(*ours, *theirs))
            .collect()
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Div as _;

    #[test]
    fn cell_is_the_median_with_the_middle_half() {
        for (figures, expected) in [
            (&[7.0][..], "7.0 (7.0–7.0)"),
            (&[2.0, 1.0], "1.5 (1.0–2.0)"),
            (&[5.0, 1.0, 4.0, 2.0, 3.0], "3.0 (2.0–4.0)"),
            (&[9.0, 1.0, 5.0, 100.0], "7.0 (1.0–100.0)"),
            (&[8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], "4.5 (2.0–7.0)"),
            (&[-1.0, 10.0, 9.0], "9.0 (-1.0–10.0)"),
        ] {
            let series: Series = figures.iter().copied().collect();
            assert_eq!(series.cell(1), expected, "{figures:?}");
        }
    }

    #[test]
    fn figures_are_combined_run_by_run() {
        // Each run twice as fast as its neighbor, on a machine that gets slower and slower.
        let ours = Series(vec![1.0, 10.0, 100.0]);
        let theirs = Series(vec![2.0, 20.0, 200.0]);
        assert_eq!(
            ours.zip_with(&theirs, f64::div),
            Series(vec![0.5, 0.5, 0.5])
        );
    }
}
