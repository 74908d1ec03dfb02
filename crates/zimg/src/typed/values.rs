//! What an option's value is made of.

/// `1024x768`.
pub(super) fn size(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once(['x', 'X', '×']).map(|(w, h)| (w.parse(), h.parse()));
    match parsed {
        Some((Ok(width), Ok(height))) => Ok((width, height)),
        _ => Err("a size is WxH in pixels, for example 1024x768".to_owned()),
    }
}
