//! The record of a job's control image: the parameter `control_input`, which images carry so that they can
//! be generated again.

use serde::{Deserialize, Serialize};

use super::kind::ControlKind;
use crate::input::{InputFile, InputFit};

/// What a control image was made from. JSON without what is left to its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlRecord {
    /// Its file.
    pub control: InputFile,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fit: Option<String>,
    /// Whether the size was given, or is the initial image's; else it followed the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sized: Option<bool>,
}

impl ControlRecord {
    /// The record of a file of which this was made.
    pub fn new(control: InputFile, kind: ControlKind, fit: InputFit, is_sized: bool) -> Self {
        let fit = match fit {
            InputFit::Crop => None,
            InputFit::Pad => Some("pad".to_owned()),
            InputFit::Stretch => Some("stretch".to_owned()),
        };
        let kind = Some(kind).filter(|kind| *kind != ControlKind::Raw);
        let kind = kind.map(|kind| kind.name().to_owned());
        Self { control, kind, fit, sized: is_sized.then_some(true) }
    }

    /// What was made of it; none of a kind that this version does not make.
    pub fn kind(&self) -> Option<ControlKind> {
        self.kind.as_deref().map_or(Some(ControlKind::Raw), |kind| kind.parse().ok())
    }

    /// How it was fitted.
    pub fn fit(&self) -> InputFit {
        match self.fit.as_deref() {
            Some("pad") => InputFit::Pad,
            Some("stretch") => InputFit::Stretch,
            _ => InputFit::Crop,
        }
    }

    /// Whether its size was given.
    pub fn is_sized(&self) -> bool {
        self.sized.unwrap_or_default()
    }

    /// The value of the parameter.
    pub fn to_text(&self) -> String {
        // Its keys in order, as metadata gives them back; names alone: it cannot fail.
        serde_json::to_value(self).map(|value| value.to_string()).unwrap_or_default()
    }

    /// Reads [`Self::to_text`] of this or a later version.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_control_image_is_found_again_in_its_record() {
        let file = InputFile::new(OsStr::new("a.png"), b"abc");
        for kind in ControlKind::ALL {
            for fit in [InputFit::Crop, InputFit::Pad, InputFit::Stretch] {
                for is_sized in [false, true] {
                    let record = ControlRecord::new(file.clone(), kind, fit, is_sized);
                    let again = ControlRecord::from_text(&record.to_text()).unwrap();
                    assert_eq!(again, record);
                    assert_eq!((again.kind(), again.fit()), (Some(kind), fit));
                    assert_eq!(again.is_sized(), is_sized);
                }
            }
        }
        assert_eq!(ControlRecord::from_text("{}"), None);
    }
}
