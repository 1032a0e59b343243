//! What Millstream's benchmarks share.
//!
//! The benchmarks themselves are in `benches/` (criterion, small) and `src/bin/` (whole jobs
//! against what one would write by hand). `README.md` says how to run and how to read them.

pub mod time;

use rustix::time::{ClockId, clock_gettime};

/// The CPU time of all threads of this process so far, in seconds.
pub fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// The most memory of this process that was ever resident, in MiB; `None` where the system does
/// not tell.
pub fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// The median; NaN of nothing. Sorts `values`.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.len() % 2, values.get(middle)) {
        (_, None) => f64::NAN,
        (0, Some(upper)) => (values.get(middle - 1).unwrap_or(upper) + upper) / 2.0,
        (_, Some(middle)) => *middle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_used_counts() {
        let Some(before) = peak_memory_mib() else {
            return;
        };
        let used = std::hint::black_box(vec![1u8; 256 << 20]);
        let after = peak_memory_mib().unwrap();
        assert!(
            after >= 256.0 && after >= before,
            "{before} MiB, {after} MiB"
        );
        drop(used);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&mut []).is_nan());
    }
}
