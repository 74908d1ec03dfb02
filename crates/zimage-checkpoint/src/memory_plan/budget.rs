//! The budget: how much of a device's memory a worker may take, as configured and as it is free.

use std::fmt;
use std::str::FromStr;

/// What the driver takes for a process's context, by its own view: measured on an H200 with driver
/// 580. It is taken by the time that a worker asks what is free.
pub const CONTEXT_BYTES: u64 = 527 << 20;

/// The least headroom of `auto`: a desktop's compositor and a browser grow by about as much.
const HEADROOM: u64 = 512 << 20;
/// The headroom of `auto` is at least one part in so many of what is free.
const HEADROOM_PARTS: u64 = 20;
/// The least and the most that can be configured.
const LEAST: u64 = 1 << 20;
const MOST: u64 = 1 << 50;

/// The configured budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryBudget {
    /// What is free on the device, with headroom for a desktop.
    #[default]
    Auto,
    /// At most so many bytes, and at most what is free.
    Bytes(u64),
}

impl MemoryBudget {
    /// The budget where so many bytes are free: of `auto` all but 5 %, and all but 512 MiB.
    pub fn of_free(self, free: u64) -> u64 {
        match self {
            Self::Auto => free.saturating_sub(HEADROOM.max(free / HEADROOM_PARTS)),
            Self::Bytes(bytes) => bytes.min(free),
        }
    }
}

/// The most host memory that may be pinned to copy streamed weights from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedMemory(pub u64);

impl Default for PinnedMemory {
    /// Half of what WSL2 allows all programs together.
    fn default() -> Self {
        Self(512 << 20)
    }
}

impl FromStr for PinnedMemory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = if text == "off" { Some(0) } else { bytes(text) };
        bytes.filter(|bytes| *bytes <= MOST).map(Self).ok_or_else(|| {
            format!("is {text:?}, but must be off or a size like 512MiB, 16GiB or 16GB")
        })
    }
}

impl fmt::Display for PinnedMemory {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("off"),
            bytes => MemoryBudget::Bytes(bytes).fmt(f),
        }
    }
}

impl FromStr for MemoryBudget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let bytes = bytes(text).filter(|bytes| (LEAST..=MOST).contains(bytes));
        bytes.map(Self::Bytes).ok_or_else(|| {
            format!(
                "is {text:?}, but must be auto or a size like 24GiB, 7.5GiB, 8GB or 512MiB, of at \
                 least 1MiB"
            )
        })
    }
}

impl fmt::Display for MemoryBudget {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Auto => f.write_str("auto"),
            Self::Bytes(bytes) if bytes % (1 << 30) == 0 => write!(f, "{}GiB", bytes >> 30),
            Self::Bytes(bytes) if bytes % (1 << 20) == 0 => write!(f, "{}MiB", bytes >> 20),
            Self::Bytes(bytes) => write!(f, "{bytes}B"),
        }
    }
}

/// A number, which may have decimals, and a unit: powers of 1024, or of 1000 if they end in `B`
/// alone.
fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let scale: f64 = match unit.as_str() {
        "b" => 1.0,
        "kib" | "k" => 1024.0,
        "mib" | "m" => 1_048_576.0,
        "gib" | "g" => 1_073_741_824.0,
        "tib" | "t" => 1_099_511_627_776.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return None,
    };
    let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite())?;
    // Far below 2^53 are the sizes that the caller takes.
    Some((number * scale) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, expected) in [
            ("24GiB", 24 << 30),
            ("24 GiB", 24 << 30),
            ("24G", 24 << 30),
            ("8GB", 8_000_000_000),
            ("8gb", 8_000_000_000),
            ("7.5GiB", 15 << 29),
            ("512MiB", 512 << 20),
            ("512m", 512 << 20),
            ("4000MB", 4_000_000_000),
            ("1048576B", 1 << 20),
            ("0.5TiB", 1 << 39),
        ] {
            let read: MemoryBudget = text.parse().unwrap();
            assert_eq!(read, MemoryBudget::Bytes(expected), "{text}");
            assert_eq!(read.to_string().parse(), Ok(read), "{text}");
        }
        assert_eq!("auto".parse(), Ok(MemoryBudget::Auto));
        for text in [
            "",
            "Auto",
            "24",
            "GiB",
            "24GiBs",
            "-1GiB",
            "1.2.3GiB",
            "0GiB",
            "9999999TiB",
            "1e3G",
            "½G",
        ] {
            let error = text.parse::<MemoryBudget>().unwrap_err();
            let begins = format!("is {text:?}, but must be auto or a size like 24GiB");
            assert!(error.starts_with(&begins), "{error}");
        }
    }

    #[test]
    fn pinned_memory_is_off_or_a_size() {
        for (text, bytes) in
            [("off", 0), ("0MiB", 0), ("512MiB", 512 << 20), ("16GB", 16_000_000_000)]
        {
            let read: PinnedMemory = text.parse().unwrap();
            assert_eq!(read, PinnedMemory(bytes));
            assert_eq!(read.to_string().parse(), Ok(read), "{text}");
        }
        assert_eq!(PinnedMemory::default().to_string(), "512MiB");
        let error = "auto".parse::<PinnedMemory>().unwrap_err();
        assert!(error.starts_with("is \"auto\", but must be off or a size"), "{error}");
    }

    #[test]
    fn auto_leaves_headroom_and_no_budget_exceeds_what_is_free() {
        assert_eq!(MemoryBudget::Auto.of_free(40 << 30), 38 << 30);
        assert_eq!(MemoryBudget::Auto.of_free(8 << 30), 15 << 29);
        assert_eq!(MemoryBudget::Auto.of_free(100), 0);
        assert_eq!(MemoryBudget::Bytes(6 << 30).of_free(8 << 30), 6 << 30);
        assert_eq!(MemoryBudget::Bytes(24 << 30).of_free(8 << 30), 8 << 30);
    }
}
