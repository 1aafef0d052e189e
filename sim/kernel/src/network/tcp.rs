//! Upper bounds on the rate of one TCP flow, and SimGrid's corrected transfer time. Rates in bytes per second.

use crate::time::VirtualDuration;

/// The payload of an Ethernet-sized TCP segment in bytes.
pub const MSS: f64 = 1_460.0;

/// The constant of [`mathis`]: √(3/2), for an acknowledgement of every segment.
pub const MATHIS_C: f64 = 1.22;

/// The rate that random loss allows: C·MSS/(RTT·√p) bytes per second; infinite without loss.
///
/// Mathis, Semke, Mahdavi & Ott, "The macroscopic behavior of the TCP congestion avoidance algorithm" (1997), eq. 3. `loss` is the
/// probability that a segment is lost; the law holds below about 0.01 and is an overestimate above, where
/// timeouts dominate.
///
/// # Panics
/// Unless `loss` lies in [0, 1].
pub fn mathis(loss: f64, rtt: VirtualDuration) -> f64 {
    assert!((0.0..=1.0).contains(&loss), "a loss probability of {loss}");
    if loss == 0.0 || rtt == VirtualDuration::ZERO {
        return f64::INFINITY;
    }
    MATHIS_C * MSS / (rtt.as_secs_f64() * libm::sqrt(loss))
}

/// The rate that a window of `window_bytes` allows: one window per round trip; infinite for a round trip of zero.
pub fn window_bound(window_bytes: f64, rtt: VirtualDuration) -> f64 {
    if rtt == VirtualDuration::ZERO { f64::INFINITY } else { window_bytes / rtt.as_secs_f64() }
}

/// How long SimGrid's default network model says one lone transfer takes, for comparisons with SimGrid.
///
/// LV08 (Velho & Legrand, "Accuracy study and improvement of network simulation in the SimGrid framework", 2009): latency
/// times 13.01, 97 % of the bandwidth for payload, and 5 % of the bandwidth taken by the acknowledgements on the way back. The window
/// bound of that model is left out: use [`window_bound`].
pub fn lv08(bytes: f64, bytes_per_s: f64, latency: VirtualDuration) -> VirtualDuration {
    const LATENCY_FACTOR: f64 = 13.01;
    const BANDWIDTH_FACTOR: f64 = 0.97;
    const CROSS_TRAFFIC: f64 = 1.05;
    let transfer = bytes / (BANDWIDTH_FACTOR * bytes_per_s / CROSS_TRAFFIC);
    VirtualDuration::from_secs_f64(LATENCY_FACTOR * latency.as_secs_f64() + transfer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGABIT: f64 = 1e6 / 8.0;

    #[test]
    fn one_percent_of_loss_over_50_ms_allows_2_85_megabits() {
        let rate = mathis(0.01, VirtualDuration::from_millis(50)) / MEGABIT;
        assert!((rate - 2.849_92).abs() < 1e-9, "{rate} Mbit/s");
        assert_eq!(mathis(0.0, VirtualDuration::from_millis(50)), f64::INFINITY);
    }

    #[test]
    fn a_window_of_64_kib_over_100_ms_allows_5_24_megabits() {
        let rate = window_bound(65_536.0, VirtualDuration::from_millis(100)) / MEGABIT;
        assert!((rate - 5.242_88).abs() < 1e-9, "{rate} Mbit/s");
    }

    #[test]
    fn simgrid_takes_0_996079_seconds_for_100_kb_over_one_megabit_and_10_ms() {
        let lasts = lv08(100_000.0, MEGABIT, VirtualDuration::from_millis(10)).as_secs_f64();
        assert!((lasts - 0.996_079).abs() < 5e-7, "{lasts} s");
    }
}
