//! What a series of figures comes to.

/// Figures of the same kind, one for each run; there is at least one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// The series of these figures, in the order of their runs; none if there are none.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let figures: Vec<f64> = figures.into_iter().collect();
        (!figures.is_empty()).then_some(Self(figures))
    }

    /// The figure in the middle; of an even number, the mean of the two there.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        }
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The ratios to the figures of `other` of the same runs, which share what else the machine did meanwhile.
    pub(crate) fn ratios(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(ours, theirs)| ours / theirs).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(figures: &[f64]) -> Series {
        Series::of(figures.iter().copied()).unwrap()
    }

    fn shown(series: &Series) -> String {
        format!("{} {} {}", series.median(), series.min(), series.max())
    }

    #[test]
    fn median_and_range() {
        for (figures, expected) in [
            (&[7.0][..], "7 7 7"),
            (&[1.0, 2.0], "1.5 1 2"),
            (&[9.0, 1.0, 5.0], "5 1 9"),
            (&[9.0, 1.0, 5.0, 100.0], "7 1 100"),
            (&[10.0, 9.0, -1.0, 2.0, 2.0], "2 -1 10"),
        ] {
            assert_eq!(shown(&series(figures)), expected, "{figures:?}");
        }
        assert_eq!(Series::of([]), None);
    }

    #[test]
    fn ratios_are_of_the_same_runs() {
        // Each run twice as fast as its neighbour, on a machine that gets slower and slower.
        let ours = series(&[1.0, 10.0, 100.0]);
        let theirs = series(&[2.0, 20.0, 200.0]);
        assert_eq!(shown(&ours.ratios(&theirs)), "0.5 0.5 0.5");
    }
}
