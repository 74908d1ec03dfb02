//! Side products: what adapters add to a linear map beside the product with its weight, which stays as it
//! is, in whatever form it lies on the device.
//!
//! `y = W·x + up·(down·x)`: the second term is computed first and the product with the weight adds to it, so
//! that its sum costs no pass over `y` of its own where the product is limited by arithmetic.

use std::cell::RefCell;

use tch::{Kind, Tensor};
use zimage_cuda::{Float8Rows, Rows};

use crate::error::{Error, Result};
use crate::ops::float8;

/// A linear map by its names, and what adapters add to it now.
#[derive(Debug, Default)]
pub(crate) struct AdaptedMap {
    /// Canonical names and rows of the maps that are computed as one, from the first row on.
    pub(crate) parts: Vec<(String, i64)>,
    /// Their inputs.
    pub(crate) inputs: i64,
    side: RefCell<Option<Side>>,
}

/// What is added to one map.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) low_rank: Option<LowRank>,
    pub(crate) kronecker: Vec<Kronecker>,
    /// `[rows, inputs]` from a row on.
    pub(crate) dense: Vec<(i64, Tensor)>,
    /// Factors of the map's own rows, `[outputs]` (DoRA).
    pub(crate) factors: Option<Tensor>,
    /// `[outputs]`.
    pub(crate) bias: Option<Tensor>,
}

/// Two products of a small width, for all adapters together.
#[derive(Debug)]
pub(crate) struct LowRank {
    /// `[ranks, inputs]`.
    pub(crate) down: Tensor,
    /// The same for float8 inputs.
    pub(crate) down_float8: Option<Float8Rows>,
    pub(crate) ups: Vec<Up>,
}

/// The second product for some of the rows.
#[derive(Debug)]
pub(crate) struct Up {
    /// The rows of the map, and how many.
    pub(crate) rows: (i64, i64),
    /// The rows of the first product, and how many.
    pub(crate) ranks: (i64, i64),
    /// `[rows, ranks]`.
    pub(crate) matrix: Tensor,
}

/// A Kronecker product `w1 ⊗ w2`.
#[derive(Debug)]
pub(crate) struct Kronecker {
    /// The map's row that it begins at.
    pub(crate) row: i64,
    /// `[a, b]`.
    pub(crate) w1: Tensor,
    /// `[c, d]`.
    pub(crate) w2: Tensor,
}

/// A linear map that adapters can change.
pub(crate) trait LinearMap {
    /// Its names and its side products.
    fn adapted(&self) -> &AdaptedMap;
    /// The numbers of its weight, `[outputs, inputs]`.
    fn numbers(&self) -> Result<Tensor>;
    /// Whether its inputs are float8.
    fn takes_float8(&self) -> bool;
}

/// Is given each linear map, and the factor of its inputs.
pub(crate) type Visitor<'a, 'v> = &'v mut dyn FnMut(&'a dyn LinearMap, f64);

impl AdaptedMap {
    pub(crate) fn new<S: AsRef<str>>(parts: &[(S, i64)], inputs: i64) -> Self {
        let name = |name: &str| name.strip_suffix(".weight").unwrap_or(name).to_owned();
        let parts = parts.iter().map(|(part, rows)| (name(part.as_ref()), *rows)).collect();
        Self { parts, inputs, side: RefCell::default() }
    }

    /// Replaces what adapters add.
    pub(crate) fn set(&self, side: Option<Side>) {
        self.side.replace(side);
    }

    /// Whether adapters add anything.
    pub(crate) fn is_changed(&self) -> bool {
        self.side.borrow().is_some()
    }

    /// The map of rows `x` with what adapters add; `product` is that with the weight, added to a sum if one
    /// is given.
    pub(crate) fn apply(
        &self,
        x: &Rows,
        product: impl FnOnce(Option<Tensor>) -> Result<Tensor>,
    ) -> Result<Tensor> {
        match &*self.side.borrow() {
            Some(side) => side.apply(x, self.outputs(), product),
            None => product(None),
        }
    }

    fn outputs(&self) -> i64 {
        self.parts.iter().map(|(_, rows)| rows).sum()
    }
}

impl Side {
    /// Another handle to the same tensors.
    pub(crate) fn shallow_clone(&self) -> Self {
        let low_rank = self.low_rank.as_ref().map(|low| LowRank {
            down: low.down.shallow_clone(),
            down_float8: low.down_float8.as_ref().map(|rows| Float8Rows {
                values: rows.values.shallow_clone(),
                scales: rows.scales.shallow_clone(),
            }),
            ups: low.ups.iter().map(|up| Up { matrix: up.matrix.shallow_clone(), ..*up }).collect(),
        });
        let kronecker = self.kronecker.iter().map(|k| Kronecker {
            row: k.row,
            w1: k.w1.shallow_clone(),
            w2: k.w2.shallow_clone(),
        });
        Self {
            low_rank,
            kronecker: kronecker.collect(),
            dense: self.dense.iter().map(|(row, d)| (*row, d.shallow_clone())).collect(),
            factors: self.factors.as_ref().map(Tensor::shallow_clone),
            bias: self.bias.as_ref().map(Tensor::shallow_clone),
        }
    }

    fn apply(
        &self,
        x: &Rows,
        outputs: i64,
        product: impl FnOnce(Option<Tensor>) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let narrow = self.low_rank.as_ref().map(|low| low.narrow(x)).transpose()?;
        let first = match (&self.low_rank, &narrow, x) {
            (Some(low), Some(narrow), Rows::Dense(_)) if self.factors.is_none() => {
                Some(low.begin(narrow, outputs)?)
            }
            _ => None,
        };
        let begun = first.is_some();
        let mut y = product(first)?;
        if let Some(factors) = &self.factors {
            y = y.f_mul(factors)?;
        }
        if let (Some(low), Some(narrow), false) = (&self.low_rank, &narrow, begun) {
            for up in &low.ups {
                let mut rows = y.f_narrow(-1, up.rows.0, up.rows.1)?;
                let narrow = narrow.f_narrow(-1, up.ranks.0, up.ranks.1)?;
                let _ = rows.f_addmm_(&narrow, &up.matrix.f_transpose(0, 1)?)?;
            }
        }
        self.add_others(x, &y)?;
        Ok(y)
    }

    /// Adds what is no product of a small width.
    fn add_others(&self, x: &Rows, y: &Tensor) -> Result<()> {
        if let Some(bias) = &self.bias {
            let _ = y.shallow_clone().f_add_(bias)?;
        }
        if self.kronecker.is_empty() && self.dense.is_empty() {
            return Ok(());
        }
        let x = numbers(x, y.f_kind()?)?;
        for Kronecker { row, w1, w2 } in &self.kronecker {
            let (b, d) = (w1.size()[1], w2.size()[1]);
            // `[rows, a, c]`: the first factor mixes stretches of inputs, the second one those within.
            let inner = x.f_view([-1, b, d])?.f_matmul(&w2.f_transpose(0, 1)?)?;
            let added = w1.f_matmul(&inner)?.f_flatten(1, 2)?;
            let _ = y.f_narrow(-1, *row, added.size()[1])?.f_add_(&added)?;
        }
        for (row, matrix) in &self.dense {
            let mut rows = y.f_narrow(-1, *row, matrix.size()[0])?;
            let _ = rows.f_addmm_(&x, &matrix.f_transpose(0, 1)?)?;
        }
        Ok(())
    }
}

impl LowRank {
    /// The first product: `[rows, ranks]`.
    fn narrow(&self, x: &Rows) -> Result<Tensor> {
        match (x, &self.down_float8) {
            (Rows::Dense(x), _) => Ok(x.f_linear(&self.down, None::<&Tensor>)?),
            (Rows::Float8(x), Some(down)) => float8::product(x, down),
            (Rows::Float8(_), None) => {
                Err(Error::Internal("float8 rows need a float8 side product".into()))
            }
        }
    }

    /// The second product, of all rows: zeros where no adapter changes them.
    fn begin(&self, narrow: &Tensor, outputs: i64) -> Result<Tensor> {
        let covered: i64 = self.ups.iter().map(|up| up.rows.1).sum();
        let (shape, options) = ([narrow.size()[0], outputs], (narrow.f_kind()?, narrow.device()));
        let y = if covered == outputs {
            Tensor::f_empty(shape, options)?
        } else {
            Tensor::f_zeros(shape, options)?
        };
        for up in &self.ups {
            let rows = y.f_narrow(-1, up.rows.0, up.rows.1)?;
            let narrow = narrow.f_narrow(-1, up.ranks.0, up.ranks.1)?;
            let _ = narrow.f_mm_out(&rows, &up.matrix.f_transpose(0, 1)?)?;
        }
        Ok(y)
    }
}

/// Rows in the kind of products.
fn numbers(x: &Rows, kind: Kind) -> Result<Tensor> {
    match x {
        Rows::Dense(x) => Ok(x.f_contiguous()?),
        Rows::Float8(x) => {
            Ok(x.values.f_to_kind(Kind::Float)?.f_mul(&x.scales)?.f_to_kind(kind)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn off(found: &Tensor, wanted: &Tensor) -> f64 {
        ((found - wanted).norm() / wanted.norm()).double_value(&[])
    }

    /// All that adapters add is what the changed weight would give.
    #[test]
    fn side_products_are_those_of_the_changed_weight() {
        let random = |shape: &[i64]| Tensor::randn(shape, FLOAT);
        let (weight, x) = (random(&[12, 8]), random(&[5, 8]));
        let (down, q, v) = (random(&[6, 8]), random(&[4, 3]), random(&[4, 3]));
        let (w1, w2, dense) = (random(&[2, 4]), random(&[3, 2]), random(&[4, 8]));
        let (factors, bias) = (random(&[12]), random(&[12]));
        for with_factors in [false, true] {
            let side = Side {
                low_rank: Some(LowRank {
                    down: down.shallow_clone(),
                    down_float8: None,
                    ups: vec![
                        Up { rows: (0, 4), ranks: (0, 3), matrix: q.shallow_clone() },
                        Up { rows: (8, 4), ranks: (3, 3), matrix: v.shallow_clone() },
                    ],
                }),
                kronecker: vec![Kronecker {
                    row: 6,
                    w1: w1.shallow_clone(),
                    w2: w2.shallow_clone(),
                }],
                dense: vec![(4, dense.shallow_clone())],
                factors: with_factors.then(|| factors.shallow_clone()),
                bias: Some(bias.shallow_clone()),
            };
            let mut changed = weight.copy();
            if with_factors {
                changed *= factors.unsqueeze(1);
            }
            for (at, rows, delta) in [
                (0, 4, q.matmul(&down.narrow(0, 0, 3))),
                (8, 4, v.matmul(&down.narrow(0, 3, 3))),
                (6, 6, w1.kron(&w2)),
                (4, 4, dense.shallow_clone()),
            ] {
                let _ = changed.narrow(0, at, rows).g_add_(&delta);
            }
            let map = AdaptedMap::new(&[("q", 4), ("k", 4), ("v", 4)], 8);
            map.set(Some(side.shallow_clone()));
            let found = map.apply(&Rows::Dense(x.shallow_clone()), |sum| {
                let product = x.matmul(&weight.transpose(0, 1));
                Ok(sum.map_or_else(|| product.shallow_clone(), |sum| sum + &product))
            });
            let wanted = x.matmul(&changed.transpose(0, 1)) + &bias;
            assert!(off(&found.unwrap(), &wanted) < 1e-5, "factors {with_factors}");
        }
    }
}
