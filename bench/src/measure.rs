//! CPU time and live heap of a piece of work.

use anyhow::Result;
use cpu_time::ProcessTime;

/// Does the work and says how many seconds of CPU time this process took for it.
pub fn cpu_seconds<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let start = ProcessTime::try_now()?;
    let result = work()?;
    Ok((start.try_elapsed()?.as_secs_f64(), result))
}

/// Does the work and says how many bytes more are allocated after it, if this program counts that.
pub fn live_heap_bytes<T>(work: impl FnOnce() -> Result<T>) -> Result<(Option<f64>, T)> {
    #[cfg(feature = "heap")]
    {
        let mut result = None;
        let info = allocation_counter::measure(|| result = Some(work()));
        let result = result.expect("the work has been done")?;
        Ok((Some(info.bytes_current as f64), result))
    }
    #[cfg(not(feature = "heap"))]
    Ok((None, work()?))
}
