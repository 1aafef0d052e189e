//! This computer, as far as a manifest should tell. Nothing of it reaches the simulation.

use std::path::Path;
use std::time::{Instant, SystemTime};

use cotune_kernel::bounded;

/// The longest text of the system's that is read \[B\].
const LONGEST_STATUS: u64 = 1 << 20;

/// The version of cotune.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit this build was made from, with `-dirty` where the sources were not those of the commit; empty where nobody could
/// tell (`build.rs`).
pub const COMMIT: &str = env!("COTUNE_COMMIT");

/// Operating system and architecture, `linux-x86_64`.
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// The CPU features that decide how floats are summed.
pub fn cpu_features() -> Vec<String> {
    let mut features: Vec<&str> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let found = [
            ("sse4.2", is_x86_feature_detected!("sse4.2")),
            ("avx", is_x86_feature_detected!("avx")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512bw", is_x86_feature_detected!("avx512bw")),
            ("avx512vl", is_x86_feature_detected!("avx512vl")),
        ];
        features.extend(found.into_iter().filter(|(_, has)| *has).map(|(name, _)| name));
    }
    #[cfg(target_arch = "aarch64")]
    {
        features.extend(std::arch::is_aarch64_feature_detected!("neon").then_some("neon"));
        features.extend(std::arch::is_aarch64_feature_detected!("sve").then_some("sve"));
    }
    features.into_iter().map(str::to_owned).collect()
}

/// Threads that can run at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The largest resident memory of this process so far \[B\]; 0 where the system does not say.
pub fn peak_rss_bytes() -> u64 {
    let status = bounded::text(Path::new("/proc/self/status"), LONGEST_STATUS).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The moment on a clock that only runs forward.
#[expect(clippy::disallowed_methods, reason = "progress and wall times are about this computer")]
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970, UTC.
#[expect(clippy::disallowed_methods, reason = "the manifest says when a run began")]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_can_name_the_machine() {
        assert!(platform().contains('-'));
        assert!(cores() > 0);
        if cfg!(target_os = "linux") {
            assert!(peak_rss_bytes() > 1 << 20);
        }
    }
}
