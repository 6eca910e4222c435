//! How long to wait before the next try. A pure calculation: the same arguments give the same delay.
//!
//! The `backoff` crate computes the exponential part. It is unmaintained, so this is the only file that
//! names it, and it is used as a calculator alone: neither its clock nor its random numbers nor its retry
//! loops take part. Replacing it is a change of this file.

use std::time::Duration;

use ::backoff::SystemClock;
use ::backoff::backoff::Backoff;
use ::backoff::exponential::ExponentialBackoff;

/// What each further failure multiplies the delay with.
const MULTIPLIER: f64 = 2.0;

/// The most doublings that are computed: 64 take a nanosecond past five centuries, so whatever is not
/// at its maximum by then has a base of zero.
const DOUBLINGS_MAX: u32 = 64;

/// The delay after `attempt` failed tries (from 1), before the next one.
///
/// Doubles from `base` with each failure up to `max`, then takes a point in the upper half of that
/// (`[d/2, d]`) which depends on `seed` and `attempt` alone: runs with different seeds that fail together
/// do not come back together, and a test or a replay computes the same delay again.
pub fn delay(base: Duration, max: Duration, attempt: u32, seed: u64) -> Duration {
    jittered(exponential(base, max, attempt), seed, attempt)
}

/// `base` doubled `attempt - 1` times, at most `max`.
fn exponential(base: Duration, max: Duration, attempt: u32) -> Duration {
    let mut steps = ExponentialBackoff::<SystemClock> {
        current_interval: base,
        initial_interval: base,
        // The crate's jitter is random and comes after its cap, so it may exceed the maximum: ours is used.
        randomization_factor: 0.0,
        multiplier: MULTIPLIER,
        max_interval: max,
        // The crate's default gives up after 15 minutes; how long to go on is the caller's matter.
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    for _ in 1..attempt.min(DOUBLINGS_MAX) {
        if steps.current_interval >= max {
            break;
        }
        steps.next_backoff();
    }
    steps.current_interval.min(max)
}

/// A point in `[delay/2, delay]`.
fn jittered(delay: Duration, seed: u64, attempt: u32) -> Duration {
    let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
    let half = nanos / 2;
    let spread = nanos - half;
    let point = scramble(scramble(seed) ^ u64::from(attempt));
    Duration::from_nanos(half + if spread == u64::MAX { point } else { point % (spread + 1) })
}

/// Spreads the bits of `x` over the whole word (the finisher of SplitMix64): neighbours become strangers.
fn scramble(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn doubles_up_to_the_maximum() {
        let without_jitter = |attempt| exponential(SECOND, MINUTE, attempt).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 8, 100].map(without_jitter), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(without_jitter(0), 1, "no failure yet counts as the first");
    }

    #[test]
    fn extremes_neither_overflow_nor_loop() {
        assert_eq!(delay(Duration::ZERO, MINUTE, u32::MAX, 7), Duration::ZERO);
        assert_eq!(delay(MINUTE, SECOND, 1, 7), delay(SECOND, SECOND, 1, 7));
        let longest = delay(Duration::from_nanos(1), Duration::MAX, u32::MAX, 7);
        assert!(longest >= Duration::from_nanos(u64::MAX / 4), "{longest:?}");
        assert!(delay(Duration::MAX, Duration::MAX, u32::MAX, 7) >= Duration::from_nanos(u64::MAX / 2));
    }

    #[test]
    fn seeds_that_are_neighbours_spread_over_the_upper_half() {
        let delays: Vec<f64> = (0..200).map(|seed| delay(SECOND, MINUTE, 5, seed).as_secs_f64()).collect();
        let mean = delays.iter().sum::<f64>() / 200.0;
        assert!((11.5..12.5).contains(&mean), "mean {mean} of [8 s, 16 s]");
        assert!(delays.iter().any(|d| *d < 8.8) && delays.iter().any(|d| *d > 15.2));
    }

    proptest! {
        #[test]
        fn stays_in_the_upper_half_of_the_capped_exponential(
            base in 1u64..100_000, max in 1u64..10_000_000, attempt in any::<u32>(), seed in any::<u64>(),
        ) {
            let (base, max) = (Duration::from_millis(base), Duration::from_millis(max));
            let full = exponential(base, max, attempt);
            let with_jitter = delay(base, max, attempt, seed);
            prop_assert!(full <= max);
            prop_assert!(with_jitter <= full && with_jitter >= full / 2, "{with_jitter:?} of {full:?}");
            prop_assert_eq!(with_jitter, delay(base, max, attempt, seed));
        }

        #[test]
        fn a_further_failure_never_shortens_the_exponential_part(
            base in 1u64..100_000, max in 1u64..10_000_000, attempt in 1u32..80,
        ) {
            let (base, max) = (Duration::from_millis(base), Duration::from_millis(max));
            prop_assert!(exponential(base, max, attempt) <= exponential(base, max, attempt + 1));
        }
    }
}
