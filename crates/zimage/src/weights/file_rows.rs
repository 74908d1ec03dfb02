//! A table that stays in its file: rows are read one by one, when they are needed.

use tch::Tensor;

use super::reader::Read;
use crate::error::{Error, Result};

/// A matrix of which few rows are used at a time, as that of a text encoder's embeddings.
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
}
