//! Deltas: how an adapter changes one linear map.

use crate::component::Component;
use crate::stored_tensor::StoredTensor;

/// The change of one linear map `y = W·x + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct MapDelta {
    /// Whose map it is.
    pub component: Component,
    /// The canonical name of the map: that of its weight without `.weight`.
    pub map: String,
    /// `[outputs, inputs]` of the map.
    pub shape: [i64; 2],
    /// What is added to the weight, if anything is.
    pub form: Option<DeltaForm>,
    /// DoRA: the norms that the changed weight's rows are scaled to, `outputs` numbers; or those of its
    /// columns, `[1, inputs]`.
    pub magnitude: Option<StoredTensor>,
    /// What is added to the bias, `outputs` numbers, and its scale.
    pub bias: Option<(StoredTensor, f64)>,
}

/// What is added to a weight.
#[derive(Clone, Debug, PartialEq)]
pub enum DeltaForm {
    /// `scale · up · down` (LoRA).
    LowRank {
        /// `[rank, inputs]`.
        down: StoredTensor,
        /// `[outputs, rank]`.
        up: StoredTensor,
        /// Alpha by rank, or by its root.
        scale: f64,
    },
    /// `scale · (w1a · w1b) ∘ (w2a · w2b)` (LoHa).
    Hadamard {
        /// `[outputs, rank]`.
        w1a: StoredTensor,
        /// `[rank, inputs]`.
        w1b: StoredTensor,
        /// `[outputs, rank]`.
        w2a: StoredTensor,
        /// `[rank, inputs]`.
        w2b: StoredTensor,
        /// Alpha by rank.
        scale: f64,
    },
    /// `scale · (w1 ⊗ w2)` (LoKr).
    Kronecker {
        /// `[a, b]`.
        w1: Factor,
        /// `[outputs / a, inputs / b]`.
        w2: Factor,
        /// Alpha by rank.
        scale: f64,
    },
    /// A whole difference, `[outputs, inputs]`.
    Dense(StoredTensor),
}

/// A matrix, as it is or as a product.
#[derive(Clone, Debug, PartialEq)]
pub enum Factor {
    /// As it is.
    Whole(StoredTensor),
    /// `[rows, rank]` and `[rank, columns]`.
    Product(StoredTensor, StoredTensor),
}

impl Factor {
    fn tensors(&self) -> Vec<&StoredTensor> {
        match self {
            Self::Whole(matrix) => vec![matrix],
            Self::Product(left, right) => vec![left, right],
        }
    }

    /// Rows and columns.
    pub fn shape(&self) -> [i64; 2] {
        match self {
            Self::Whole(matrix) => [rows(matrix), columns(matrix)],
            Self::Product(left, right) => [rows(left), columns(right)],
        }
    }

    /// The rank of a product.
    pub(super) fn rank(&self) -> Option<i64> {
        match self {
            Self::Whole(_) => None,
            Self::Product(left, _) => Some(columns(left)),
        }
    }
}

impl MapDelta {
    /// Its tensors in the file.
    pub fn tensors(&self) -> Vec<&StoredTensor> {
        let mut tensors = self.form.as_ref().map(DeltaForm::tensors).unwrap_or_default();
        tensors.extend(self.magnitude.as_ref());
        tensors.extend(self.bias.as_ref().map(|(bias, _)| bias));
        tensors
    }
}

impl DeltaForm {
    fn tensors(&self) -> Vec<&StoredTensor> {
        match self {
            Self::LowRank { down, up, .. } => vec![down, up],
            Self::Hadamard { w1a, w1b, w2a, w2b, .. } => vec![w1a, w1b, w2a, w2b],
            Self::Kronecker { w1, w2, .. } => [w1.tensors(), w2.tensors()].concat(),
            Self::Dense(whole) => vec![whole],
        }
    }

    /// The rank of its products; none if it has none.
    pub fn rank(&self) -> Option<i64> {
        match self {
            Self::LowRank { down, .. } => Some(rows(down)),
            Self::Hadamard { w1b, .. } => Some(rows(w1b)),
            Self::Kronecker { w1, w2, .. } => w2.rank().or_else(|| w1.rank()),
            Self::Dense(_) => None,
        }
    }
}

/// The rows of a matrix.
pub(super) fn rows(matrix: &StoredTensor) -> i64 {
    matrix.shape.first().copied().unwrap_or(1)
}

/// The columns of a matrix; of a convolution over one pixel, too.
pub(super) fn columns(matrix: &StoredTensor) -> i64 {
    matrix.shape.get(1..).unwrap_or_default().iter().product()
}
