//! Bodies of `multipart/form-data` (RFC 7578): fields and files of a form.

use bytes::Bytes;

use crate::problem::Problem;

/// Parts of a body.
const PARTS_MAX: usize = 64;
/// Bytes of a part's header lines.
const HEAD_MAX: usize = 4 << 10;

/// A field or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// Of a file, if it has one.
    pub(crate) file_name: Option<String>,
    pub(crate) bytes: Bytes,
}

/// The parts of a body with this `Content-Type`.
///
/// # Errors
///
/// It has no boundary, or the body is not what the boundary promises.
pub(crate) fn parts(content_type: &str, body: &Bytes) -> Result<Vec<Part>, Problem> {
    let wrong = |what: &str| Problem::invalid(format!("the body is no form: {what}"));
    let boundary = parameter(content_type, "boundary")
        .filter(|boundary| (1..=70).contains(&boundary.len()))
        .ok_or_else(|| wrong("its Content-Type has no boundary"))?;
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first one may stand at the very beginning.
    let first = &delimiter[2..];
    let mut at = if body.starts_with(first) {
        first.len()
    } else {
        find(body, &delimiter).ok_or_else(|| wrong("it has no part"))? + delimiter.len()
    };
    let mut parts = Vec::new();
    while !body[at..].starts_with(b"--") {
        if parts.len() == PARTS_MAX {
            return Err(wrong(&format!("it has more than {PARTS_MAX} parts")));
        }
        let head_at = at;
        let head = &body[at..body.len().min(at + HEAD_MAX)];
        let head_length =
            find(head, b"\r\n\r\n").ok_or_else(|| wrong("a part has no end of its headers"))?;
        let disposition = disposition(&head[..head_length]);
        let parameter = |name| disposition.and_then(|value| parameter(value, name));
        let name = parameter("name").ok_or_else(|| wrong("a part has no name"))?;
        let file_name = parameter("filename");
        let begin = head_at + head_length + 4;
        // A part without content ends where its headers do.
        let from = begin - 2;
        let end = from + find(&body[from..], &delimiter).ok_or_else(|| wrong("it ends early"))?;
        parts.push(Part { name, file_name, bytes: body.slice(begin.min(end)..end) });
        at = end + delimiter.len();
    }
    Ok(parts)
}

/// The value of a part's `Content-Disposition`.
fn disposition(head: &[u8]) -> Option<&str> {
    std::str::from_utf8(head).ok()?.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })
}

/// A parameter of a header's value, with or without quotes. A quotation mark inside is `%22`, as
/// browsers send it (WHATWG HTML, "Multipart form data").
fn parameter(value: &str, name: &str) -> Option<String> {
    let mut is_quoted = false;
    let parts = value.split(|c: char| {
        is_quoted ^= c == '"';
        c == ';' && !is_quoted
    });
    parts.skip(1).find_map(|part| {
        let (key, value) = part.split_once('=')?;
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        key.trim().eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        from += bytes.get(from..)?.iter().position(|byte| *byte == first)?;
        if bytes[from..].starts_with(wanted) {
            return Some(from);
        }
        from += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"x-1\"";

    fn of(body: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Problem> {
        let parts = parts(TYPE, &Bytes::copy_from_slice(body))?;
        Ok(parts.into_iter().map(|part| (part.name, part.bytes.to_vec())).collect())
    }

    #[test]
    fn fields_and_files_are_what_was_sent() {
        let body =
            b"--x-1\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na fox\r\n--x-1\r\n\
            content-type: image/png\r\nContent-Disposition: form-data; name=\"image[]\"; \
            filename=\"a.png\"\r\n\r\n\x89P\r\n--x\r\n\r\n--x-1\r\n\
            Content-Disposition: form-data; name=empty\r\n\r\n\r\n--x-1--\r\n";
        let expected: [(String, Vec<u8>); 3] = [
            ("prompt".into(), b"a fox".to_vec()),
            ("image[]".into(), b"\x89P\r\n--x\r\n".to_vec()),
            ("empty".into(), vec![]),
        ];
        assert_eq!(of(body).unwrap(), expected);
        let files = parts(TYPE, &Bytes::from_static(body)).unwrap();
        let names: Vec<_> = files.iter().map(|part| part.file_name.as_deref()).collect();
        assert_eq!(names, [None, Some("a.png"), None]);
    }

    #[test]
    fn a_value_in_quotes_may_have_semicolons() {
        for (value, expected) in [
            ("form-data; name=\"a;b\"; filename=\"c; name=d.png\"", "a;b"),
            ("form-data; filename=\"; name=x\"; name=a", "a"),
            ("form-data; NAME = \"a\" ", "a"),
            ("form-data; name=\"", "\""),
        ] {
            assert_eq!(parameter(value, "name").as_deref(), Some(expected), "{value}");
        }
        assert_eq!(parameter("form-data", "name"), None);
    }

    #[test]
    fn what_is_no_form_is_refused_wherever_it_is_cut() {
        let whole = b"--x-1\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x-1--";
        assert_eq!(of(whole).unwrap().len(), 1);
        for length in 0..whole.len() - 2 {
            assert!(of(&whole[..length]).is_err(), "{length}");
        }
        for body in [&b"--x-1\r\n\r\nb\r\n--x-1--"[..], b"--y\r\n", b"\r\n\r\n"] {
            assert!(of(body).is_err());
        }
        for kind in ["multipart/form-data", "multipart/form-data; boundary=", "x"] {
            assert!(parts(kind, &Bytes::from_static(whole)).is_err(), "{kind}");
        }
        let many = b"--x-1\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n".repeat(65);
        assert!(of(&[&many[..], b"--x-1--"].concat()).is_err());
    }
}
