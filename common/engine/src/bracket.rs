//! Search for the first leaf of a time, in few rounds of a few leaves each.

/// Leaves of a round that are spread evenly over what is left, so that each round leaves a ninth of it, whatever the times.
const EVEN: u64 = 8;
/// Distances from where the time should be if entries came evenly: then a few rounds of few leaves find it.
const AROUND: [u64; 6] = [0, 1, 8, 128, 2_048, 32_768];

/// Between which leaves the first of a time is.
#[derive(Debug)]
pub(crate) struct Bracket {
    /// Everything before it is older.
    pub(crate) low: u64,
    /// Nothing from here on is.
    high: u64,
    /// Times of the leaf before `low` and of the one at `high`, as far as they are known.
    times: (Option<u64>, u64),
}

impl Bracket {
    /// Of a whole log; `time` is that of its head.
    pub(crate) fn new(size: u64, time: u64) -> Self {
        Self {
            low: 0,
            high: size,
            times: (None, time),
        }
    }

    /// The leaves to look at next, in order; none when [`Bracket::low`] is the answer.
    pub(crate) fn probes(&self, time: u64) -> Option<Vec<u64>> {
        let left = self.high.checked_sub(self.low).filter(|left| *left > 0)?;
        let even = (0..EVEN).map(|n| self.low.saturating_add(n.saturating_mul(left.div_ceil(EVEN))));
        let guess = self.guess(time);
        let around = AROUND
            .iter()
            .flat_map(|distance| [guess.saturating_sub(*distance), guess.saturating_add(*distance)]);
        let mut probes: Vec<u64> = even
            .chain(around)
            .filter(|index| (self.low..self.high).contains(index))
            .collect();
        probes.sort_unstable();
        probes.dedup();
        Some(probes)
    }

    /// Where the time would be if entries came evenly.
    fn guess(&self, time: u64) -> u64 {
        let (Some(from), to) = self.times else {
            return self.low;
        };
        let share = |index: u64| u128::from(index.saturating_sub(from));
        let left = u128::from(self.high.saturating_sub(self.low));
        let place = share(time)
            .saturating_mul(left)
            .checked_div(share(to))
            .unwrap_or(0);
        self.low.saturating_add(u64::try_from(place).unwrap_or(u64::MAX))
    }

    /// Takes the time of a leaf that was looked at. False when those behind it tell nothing more.
    pub(crate) fn narrow(&mut self, index: u64, found: u64, time: u64) -> bool {
        let is_older = found < time;
        if is_older {
            (self.low, self.times.0) = (index.saturating_add(1), Some(found));
        } else {
            (self.high, self.times.1) = (index, found);
        }
        is_older
    }
}

#[cfg(test)]
mod tests;
