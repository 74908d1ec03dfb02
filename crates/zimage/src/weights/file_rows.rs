//! A matrix that stays in its file: its rows are read when they are needed.

use tch::Tensor;

use super::reader::{CHUNK, Read};
use crate::error::{Error, Result};

/// A matrix of which few rows are used at a time, as that of a text encoder's embeddings, or that is
/// used seldom.
#[derive(Debug)]
pub(crate) struct FileRows {
    read: Read,
    rows: i64,
    columns: i64,
}

impl FileRows {
    pub(super) fn new(read: Read, [rows, columns]: [i64; 2]) -> Self {
        Self { read, rows, columns }
    }

    /// The rows of these numbers, `[numbers, columns]` in host memory.
    ///
    /// # Errors
    /// When a number is not that of a row, or the file cannot be read.
    pub(crate) fn rows(&self, numbers: &[i64]) -> Result<Tensor> {
        let kind = self.read.to;
        let width = self.columns as usize;
        let mut bytes = vec![0; numbers.len() * width * kind.elt_size_in_bytes()];
        let mut buffer = Vec::new();
        for (row, &number) in bytes.chunks_mut(width * kind.elt_size_in_bytes()).zip(numbers) {
            if !(0..self.rows).contains(&number) {
                return Err(Error::Internal(format!("the table has no row {number}")));
            }
            let chunk = self.read.row(number)?;
            chunk.load(&mut buffer, row)?;
        }
        let shape = [numbers.len() as i64, self.columns];
        Ok(Tensor::f_from_data_size(&bytes, &shape, kind)?)
    }

    /// All rows, `[rows, columns]` in host memory.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn all(&self) -> Result<Tensor> {
        let mut bytes =
            vec![0; self.read.stored.numbers() as usize * self.read.to.elt_size_in_bytes()];
        let (mut buffer, mut rest) = (Vec::new(), &mut bytes[..]);
        for chunk in self.read.chunks(CHUNK) {
            let (now, later) = rest.split_at_mut(chunk.bytes());
            chunk.load(&mut buffer, now)?;
            rest = later;
        }
        Ok(Tensor::f_from_data_size(&bytes, &[self.rows, self.columns], self.read.to)?)
    }
}
