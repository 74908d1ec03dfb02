//! Lines of a stream as bytes: LF, CR LF and CR alone end them.

use std::io::{self, BufRead, Read};

/// The lines of a stream, as they come.
pub(super) struct Lines {
    source: Box<dyn BufRead + Send>,
    /// The number of the last line.
    number: u64,
    /// The longest line that is held, in bytes.
    limit: usize,
    /// The last line ended with CR: an LF that follows belongs to it. A reader that waited for the
    /// LF would be late by a line.
    after_cr: bool,
}

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// At most one byte more than the limit.
    pub(super) bytes: Vec<u8>,
}

impl Lines {
    pub(super) fn new(source: Box<dyn BufRead + Send>, limit: usize) -> Self {
        Self { source, number: 0, limit, after_cr: false }
    }

    /// The next line; none at the end.
    ///
    /// # Errors
    ///
    /// The stream cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let mut is_begun = false;
        loop {
            let mut piece = match self.source.fill_buf() {
                Ok(piece) => piece,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let skipped = usize::from(self.after_cr && piece.first() == Some(&b'\n'));
            piece = &piece[skipped..];
            if piece.is_empty() && skipped == 0 {
                if !is_begun {
                    return Ok(None);
                }
                self.number += 1;
                return Ok(Some(Line { number: self.number, bytes }));
            }
            self.after_cr = false;
            is_begun |= !piece.is_empty();
            let end = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let text = &piece[..end.unwrap_or(piece.len())];
            let room = (self.limit + 1).saturating_sub(bytes.len());
            bytes.extend_from_slice(&text[..text.len().min(room)]);
            let used = skipped + text.len() + usize::from(end.is_some());
            self.after_cr = end.is_some_and(|end| piece[end] == b'\r');
            self.source.consume(used);
            if end.is_some() {
                self.number += 1;
                return Ok(Some(Line { number: self.number, bytes }));
            }
        }
    }

    /// All that is left, at most `limit` bytes and one more.
    ///
    /// # Errors
    ///
    /// The stream cannot be read.
    pub(super) fn rest(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.source).take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    /// A stream whose pieces have at most this many bytes.
    fn lines(bytes: &[u8], piece: usize, limit: usize) -> Vec<(u64, Vec<u8>)> {
        let source = BufReader::with_capacity(piece, io::Cursor::new(bytes.to_vec()));
        let mut lines = Lines::new(Box::new(source), limit);
        let mut found = Vec::new();
        while let Some(Line { number, bytes }) = lines.next().unwrap() {
            found.push((number, bytes));
        }
        found
    }

    #[test]
    fn every_line_end_ends_a_line() {
        for piece in [1, 2, 64] {
            let found = lines(b"a\r\nb\rc\n\n\rd", piece, 10);
            let text: Vec<_> = found.iter().map(|line| str::from_utf8(&line.1).unwrap()).collect();
            assert_eq!(text, ["a", "b", "c", "", "", "d"], "{piece}");
            assert_eq!(found.last().unwrap().0, 6);
            assert_eq!(lines(b"0123456789abc\nx", piece, 10)[0].1.len(), 11);
            assert_eq!(lines(b"", piece, 10), []);
            assert_eq!(lines(b"\n", piece, 10), [(1, Vec::new())]);
        }
    }

    /// A producer that writes CR LF is not waited for after the CR.
    #[test]
    fn a_line_is_there_with_its_cr() {
        struct Once(Option<&'static [u8]>);
        impl Read for Once {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let bytes = self.0.take().expect("the line was there");
                buffer[..bytes.len()].copy_from_slice(bytes);
                Ok(bytes.len())
            }
        }
        let mut lines = Lines::new(Box::new(BufReader::new(Once(Some(b"a fox\r")))), 10);
        assert_eq!(lines.next().unwrap().unwrap().bytes, b"a fox");
    }

    proptest! {
        #[test]
        fn a_stream_has_the_lines_of_the_whole_text(
            text in "[ab\r\n]{0,40}", piece in 1..9_usize,
        ) {
            let whole = zimg_text::decode(text.as_bytes()).unwrap();
            let mut expected: Vec<_> = whole.split('\n').map(|line| line.as_bytes().to_vec()).collect();
            if expected.last().is_some_and(Vec::is_empty) {
                expected.pop();
            }
            let found: Vec<_> =
                lines(text.as_bytes(), piece, 100).into_iter().map(|line| line.1).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
