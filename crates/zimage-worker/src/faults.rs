//! Faults that tests plant: only in builds with the feature `faults`.
//!
//! `ZIMG_FAULTS` is a list of `what@stage`, separated by commas; a stage is `encode`, `images`,
//! `start`, `step:2` (the second of an image) or `decode`. Each strikes once, in its order.

use std::sync::{Mutex, OnceLock, PoisonError};

use tch::{Device, TchError};
use zimage::{Error, Image, Result};

use crate::stage::Stage;

/// The faults that have not struck yet; and whether the device is dead.
#[derive(Debug)]
struct Planted {
    strikes: Vec<(String, String)>,
    dead: bool,
}

fn planted() -> &'static Mutex<Planted> {
    static PLANTED: OnceLock<Mutex<Planted>> = OnceLock::new();
    PLANTED.get_or_init(|| {
        let list = std::env::var("ZIMG_FAULTS").unwrap_or_default();
        let strikes = list.split(',').filter_map(|strike| strike.split_once('@'));
        let strikes = strikes.map(|(what, stage)| (what.to_owned(), stage.to_owned())).collect();
        Mutex::new(Planted { strikes, dead: false })
    })
}

/// The fault that strikes at this stage now, if it is one of these kinds.
fn due(stage: Stage, kinds: &[&str]) -> Option<String> {
    let mut planted = planted().lock().unwrap_or_else(PoisonError::into_inner);
    let name = match stage {
        Stage::Adapt => "adapt".to_owned(),
        Stage::Encode => "encode".to_owned(),
        Stage::EncodeImages => "images".to_owned(),
        Stage::Start => "start".to_owned(),
        Stage::Step(number) => format!("step:{number}"),
        Stage::Decode => "decode".to_owned(),
    };
    let (what, at) = planted.strikes.first()?;
    if *at != name || !kinds.contains(&what.as_str()) {
        return None;
    }
    let (what, _) = planted.strikes.remove(0);
    planted.dead |= what == "dead";
    Some(what)
}

/// Fails as a stage can fail, if such a fault is next.
#[expect(clippy::panic, reason = "one of the faults")]
pub(crate) fn strike(stage: Stage, device: Device) -> Result<()> {
    let kinds = ["oom", "odd", "dead", "nan", "panic", "address"];
    let torch = |words: &str| Err(TchError::Torch(format!("{words}\nframe #0: c10")).into());
    match due(stage, &kinds).as_deref() {
        Some("oom") => torch(
            "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 23.55 GiB",
        ),
        Some("odd") => torch("an error of no known kind."),
        Some("dead") => torch("CUDA error: an illegal memory access was encountered"),
        Some("nan") => Err(Error::NotFinite("the latents")),
        Some("panic") => panic!("a planted\nbug"),
        Some("address") => match device {
            Device::Cuda(ordinal) => Ok(zimage_cuda::faults::write_to_unmapped_memory(ordinal)?),
            _ => Err(Error::Internal("only a GPU refuses an address".to_owned())),
        },
        _ => Ok(()),
    }
}

/// Makes an image black, if that fault is next.
pub(crate) fn spoil(mut image: Image) -> Image {
    if due(Stage::Decode, &["black"]).is_some() {
        image.rgb.fill(0);
    }
    image
}

/// Fails if the device is dead.
pub(crate) fn probe() -> Result<()> {
    let planted = planted().lock().unwrap_or_else(PoisonError::into_inner);
    if planted.dead {
        return Err(TchError::Torch("CUDA error: the device is dead".to_owned()).into());
    }
    Ok(())
}
