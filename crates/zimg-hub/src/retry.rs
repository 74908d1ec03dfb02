//! Pauses between requests: those that the server asks for, and growing ones.

use std::time::Duration;

use ureq::http::HeaderMap;

/// The pause that the answer asks for: `Retry-After` in seconds, or the Hub's `RateLimit` header
/// (`"api";r=0;t=55`: 55 seconds until the window ends).
pub(crate) fn asked_for(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let after = text("retry-after").and_then(|value| value.trim().parse().ok());
    let window = || {
        let fields = text("ratelimit")?.split(';');
        fields.filter_map(|field| field.trim().strip_prefix("t=")).find_map(|t| t.parse().ok())
    };
    after.or_else(window).map(Duration::from_secs)
}

/// The pause before the request after `failures` failed ones.
pub(crate) fn growing(first: Duration, failures: u32) -> Duration {
    first.saturating_mul(1 << failures.saturating_sub(1).min(6))
}

#[cfg(test)]
mod tests {
    use ureq::http::HeaderValue;

    use super::*;

    #[test]
    fn the_servers_pause_is_read() {
        let said = |name: &'static str, value: &'static str| {
            asked_for(&HeaderMap::from_iter([(
                name.parse().unwrap(),
                HeaderValue::from_static(value),
            )]))
        };
        assert_eq!(said("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(said("ratelimit", "\"api\";r=0;t=55"), Some(Duration::from_secs(55)));
        for value in ["-1", "Wed, 21 Oct 2026 07:28:00 GMT", "x", "99999999999999999999"] {
            assert_eq!(said("retry-after", value), None, "{value}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        let ms = |failures| growing(Duration::from_millis(500), failures).as_millis();
        assert_eq!(
            [ms(0), ms(1), ms(2), ms(3), ms(7), ms(u32::MAX)],
            [500, 500, 1000, 2000, 32000, 32000]
        );
    }
}
