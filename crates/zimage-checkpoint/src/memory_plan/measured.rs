//! Measured rates: what a device and its host were measured to do, as a file keeps it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::rates::DeviceRates;

/// Reader threads reach so much of the link: 53 of 55 GB/s (H200).
const THREADS_OF_LINK: f64 = 0.96;

/// What was measured once for a device, a driver and a build.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredRates {
    /// Bytes a second from pinned memory to the device.
    pub link: f64,
    /// Bytes a second that all reader threads together read from the page cache.
    pub read: f64,
    /// As [`DeviceRates::product`].
    pub product: f64,
    /// As [`DeviceRates::dense`].
    pub dense: f64,
}

impl MeasuredRates {
    /// The rates where streamed weights are copied from pinned pages, or by reader threads.
    pub fn rates(&self, is_pinned: bool) -> DeviceRates {
        let Self { link, read, product, dense } = *self;
        let copy = if is_pinned { link } else { read.min(THREADS_OF_LINK * link) };
        DeviceRates { copy, product, dense }
    }

    /// The text of a file for what `key` names.
    pub fn text(&self, key: &str) -> String {
        let Self { link, read, product, dense } = self;
        format!(
            "key = {key}\nlink = {link:e}\nread = {read:e}\nproduct = {product:e}\ndense = {dense:e}\n"
        )
    }

    /// The rates that a folder keeps for weights of a dtype; none if it keeps those of several devices, or
    /// of none. For previews alone: the driver and the build may be others.
    pub fn only(folder: &Path, dtype: &str) -> Option<Self> {
        let entries = fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok());
        let named = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name.ends_with(&format!("-{dtype}")))
        };
        let mut files = entries.filter(named);
        let text = fs::read_to_string(files.next()?.path()).ok()?;
        let key = text.lines().find_map(|line| line.strip_prefix("key = "))?;
        Self::parse(&text, key).filter(|_| files.next().is_none())
    }

    /// The rates in a file's text; none if they are of another key, or damaged.
    pub fn parse(text: &str, key: &str) -> Option<Self> {
        let lines: BTreeMap<_, _> =
            text.lines().filter_map(|line| line.split_once(" = ")).collect();
        let rate = |name| {
            let rate: f64 = lines.get(name)?.parse().ok()?;
            (rate.is_finite() && rate > 0.0).then_some(rate)
        };
        if lines.get("key") != Some(&key) {
            return None;
        }
        Some(Self {
            link: rate("link")?,
            read: rate("read")?,
            product: rate("product")?,
            dense: rate("dense")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: MeasuredRates =
        MeasuredRates { link: 55.1e9, read: 60e9, product: 1.2e15, dense: 7.37e14 };

    #[test]
    fn a_file_is_read_back_for_its_own_key_alone() {
        let text = RATES.text("GPU-1 580.1 0.1.0 float8");
        assert_eq!(MeasuredRates::parse(&text, "GPU-1 580.1 0.1.0 float8"), Some(RATES));
        for (text, key) in [
            (text.clone(), "GPU-2 580.1 0.1.0 float8"),
            (text.replace("dense", "thick"), "GPU-1 580.1 0.1.0 float8"),
            (text.replace("5.51e10", "NaN"), "GPU-1 580.1 0.1.0 float8"),
            (text.replace("5.51e10", "-1"), "GPU-1 580.1 0.1.0 float8"),
            (text[..20].to_owned(), "GPU-1 580.1 0.1.0 float8"),
            (String::new(), ""),
        ] {
            assert_eq!(MeasuredRates::parse(&text, key), None, "{text}");
        }
    }

    #[test]
    fn a_folder_with_one_device_tells_its_rates() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(folder.path().join(name), RATES.text("k")).unwrap();
        let only = |dtype| MeasuredRates::only(folder.path(), dtype);
        assert_eq!(only("bfloat16"), None);
        put("GPU-1-bfloat16");
        put("GPU-2-float8");
        assert_eq!(
            (only("bfloat16"), only("float8"), only("int8")),
            (Some(RATES), Some(RATES), None)
        );
        put("GPU-2-bfloat16");
        assert_eq!(only("bfloat16"), None);
        assert_eq!(MeasuredRates::only(&folder.path().join("none"), "bfloat16"), None);
    }

    #[test]
    fn threads_reach_less_than_the_link() {
        assert!((RATES.rates(true).copy - 55.1e9).abs() < 1.0);
        assert!(RATES.rates(false).copy < 53.5e9);
        let slow = MeasuredRates { read: 8e9, ..RATES };
        assert!((slow.rates(false).copy - 8e9).abs() < 1.0);
        assert!((slow.rates(false).dense - RATES.dense).abs() < 1.0);
    }
}
