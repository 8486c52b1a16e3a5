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
        let sorted = self.sorted();
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

    /// The lowest and the highest figure of the middle half.
    pub(crate) fn quartiles(&self) -> [f64; 2] {
        let sorted = self.sorted();
        let quarter = (sorted.len() - 1) / 4;
        [sorted[quarter], sorted[sorted.len() - 1 - quarter]]
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// By how much each figure is above that of `other` of the same run.
    pub(crate) fn differences(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(ours, theirs)| ours - theirs).collect())
    }

    /// The ratio of this median to that of `other`, and the range that it is in for 95 of 100 random choices of the runs: the
    /// bootstrap's interval (B. Efron, *Bootstrap Methods: Another Look at the Jackknife*, 1979).
    ///
    /// Unlike the ratios of single runs it bears figures near 0, as differences may be.
    pub(crate) fn ratio_of_medians(&self, other: &Self) -> (f64, [f64; 2]) {
        const CHOICES: usize = 1_000;
        // The same figures give the same interval.
        let mut random = fastrand::Rng::with_seed(1);
        let mut ratios: Vec<f64> = (0..CHOICES)
            .map(|_| {
                let runs: Vec<usize> = self
                    .0
                    .iter()
                    .map(|_| random.usize(..self.0.len()))
                    .collect();
                let chosen = |series: &Self| Self(runs.iter().map(|run| series.0[*run]).collect());
                chosen(self).median() / chosen(other).median()
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        let interval = [ratios[CHOICES / 40], ratios[CHOICES - 1 - CHOICES / 40]];
        (self.median() / other.median(), interval)
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
    fn quartiles_are_the_ends_of_the_middle_half() {
        for (figures, expected) in [
            (&[7.0][..], [7.0, 7.0]),
            (&[2.0, 1.0], [1.0, 2.0]),
            (&[5.0, 1.0, 4.0, 2.0, 3.0], [2.0, 4.0]),
            (&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [2.0, 7.0]),
        ] {
            assert_eq!(
                format!("{:?}", series(figures).quartiles()),
                format!("{expected:?}")
            );
        }
    }

    #[test]
    fn differences_are_of_the_same_runs() {
        let ours = series(&[11.0, 102.0, 1003.0]);
        let theirs = series(&[10.0, 100.0, 1000.0]);
        assert_eq!(shown(&ours.differences(&theirs)), "2 1 3");
    }

    #[test]
    fn ratio_of_medians_has_an_interval_as_wide_as_chance() {
        let theirs: Vec<f64> = (0..100).map(f64::from).collect();
        let ours: Vec<f64> = theirs.iter().map(|figure| figure * 0.5).collect();
        let (ratio, [low, high]) = series(&ours).ratio_of_medians(&series(&theirs));
        assert_eq!(format!("{ratio} {low} {high}"), "0.5 0.5 0.5");
        // The same figures, but in runs of their own.
        let ours: Vec<f64> = ours.into_iter().rev().collect();
        let (ratio, [low, high]) = series(&ours).ratio_of_medians(&series(&theirs));
        assert!(ratio > 0.49 && ratio < 0.51, "{ratio}");
        assert!(low > 0.2 && low < 0.45, "{low}");
        assert!(high > 0.55 && high < 1.0, "{high}");
    }

    #[test]
    fn ratios_are_of_the_same_runs() {
        // Each run twice as fast as its neighbour, on a machine that gets slower and slower.
        let ours = series(&[1.0, 10.0, 100.0]);
        let theirs = series(&[2.0, 20.0, 200.0]);
        assert_eq!(shown(&ours.ratios(&theirs)), "0.5 0.5 0.5");
    }
}
