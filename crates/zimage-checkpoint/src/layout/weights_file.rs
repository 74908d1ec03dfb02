//! A file of weights that lies by itself: its header is read, and its components are known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::identify::{self, Contents};
use super::names::{Mapped, text_encoder, transformer, vae};
use crate::component::Component;
use crate::config::{Configurations, Shapes, TextEncoderFacts};
use crate::content_check::check_weights;
use crate::error::{Error, Result};
use crate::expected_tensors::leftovers;
use crate::format::{self, Header, Metadata, MetadataValue};
use crate::kind::{KindFinding, ModelKind};
use crate::prepare::record;
use crate::source::{self, DataFile};
use crate::stored_tensor::StoredTensor;
use crate::tensor_index::TensorIndex;

/// Keys under which files have a title: GGUF's, those of the Model Specification, and kohya's.
const TITLES: [&str; 5] = [
    "general.name",
    "general.basename",
    "modelspec.title",
    "modelspec.architecture",
    "ss_base_model_version",
];

/// A file of weights.
#[derive(Clone, Debug)]
pub(crate) struct WeightsFile {
    pub(crate) path: PathBuf,
    pub(crate) contents: Contents,
    file: Arc<DataFile>,
    tensors: Vec<(String, StoredTensor)>,
    metadata: Metadata,
    digest: String,
}

impl WeightsFile {
    /// Reads the header of the file at `path`.
    ///
    /// # Errors
    /// When it is unreadable, damaged, or no file of this model.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = source::open_regular(path, path.display().to_string())?;
        check_weights(&file)?;
        let Header { tensors, metadata, digest } = format::read(&file)?;
        let names = tensors.iter().map(|(name, _)| name.as_str());
        let contents = identify::contents(names)
            .map_err(|foreign| Error::Foreign { file: file.label.clone(), foreign })?;
        if contents.is_empty() {
            return Err(Error::UnknownWeights { file: file.label });
        }
        let (path, file) = (path.to_owned(), Arc::new(file));
        Ok(Self { path, contents, file, tensors, metadata, digest })
    }

    /// What messages call it.
    pub(crate) fn label(&self) -> &str {
        &self.file.label
    }

    /// Whether the component is in it.
    pub(crate) fn has(&self, component: Component) -> bool {
        self.contents.prefix(component).is_some()
    }

    /// Bytes of the component's tensors.
    pub(crate) fn bytes(&self, component: Component) -> u64 {
        self.of(component).map(|(_, stored)| stored.bytes).sum()
    }

    /// The digest of its header, which is the same in copies.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// The title that it has of itself.
    pub(crate) fn titles(&self) -> impl Iterator<Item = &str> {
        TITLES.iter().filter_map(|key| self.metadata.get(*key)?.text())
    }

    /// The kind that its title tells, or its name.
    pub(crate) fn kind(&self) -> Option<KindFinding> {
        let titled = self.titles().find_map(|title| {
            let because = format!("the file's title is {title:?}");
            Some(KindFinding { kind: ModelKind::told_by(title)?, because })
        });
        titled.or_else(|| {
            let name = self.path.file_stem()?.to_string_lossy();
            let because = "by the file's name".to_owned();
            Some(KindFinding { kind: ModelKind::told_by(&name)?, because })
        })
    }

    /// The configurations of all components, which a prepared file has.
    ///
    /// # Errors
    /// When they are damaged, or their values impossible.
    pub(crate) fn configurations(&self) -> Result<Option<Configurations>> {
        let text = record::config(&self.metadata);
        text.map(|text| Configurations::parse(self.label(), text)).transpose()
    }

    /// The name of what a prepared file was made of.
    pub(crate) fn origin_name(&self) -> Option<&str> {
        record::origin_name(&self.metadata)
    }

    /// The tokenizer in a prepared file: where its bytes are.
    pub(crate) fn tokenizer(&self) -> Option<(Arc<DataFile>, u64, u64)> {
        record::origin_name(&self.metadata)?;
        let (_, stored) = self.tensors.iter().find(|(name, _)| name == record::TOKENIZER)?;
        Some((Arc::clone(&self.file), stored.offset, stored.bytes))
    }

    /// What the file of a text encoder says of rotations and norms.
    pub(crate) fn text_encoder_facts(&self) -> TextEncoderFacts {
        let number = |key: &str| match self.metadata.get(key)? {
            MetadataValue::Float(value) => Some(*value),
            MetadataValue::Integer(value) => Some(*value as f64),
            MetadataValue::Text(_) | MetadataValue::Integers(_) => None,
        };
        TextEncoderFacts {
            rope_theta: number("qwen3.rope.freq_base").map(decimal),
            rms_norm_eps: number("qwen3.attention.layer_norm_rms_epsilon").map(decimal),
            positions: number("qwen3.context_length").map(|value| value as i64),
        }
    }

    /// The component's tensors under canonical names.
    ///
    /// # Errors
    /// When two tensors are the same, or a fused one cannot be split; and for the first component of
    /// the file, when tensors are left that belong to none.
    pub(crate) fn index(&self, component: Component) -> Result<TensorIndex> {
        let mut index = TensorIndex::new(self.label().to_owned(), component);
        index.add_file(Arc::clone(&self.file), self.digest.clone(), self.metadata.clone());
        let levels = vae::levels(self.of(component).map(|(name, _)| name));
        for (name, stored) in self.of(component) {
            let mapped = match component {
                Component::Transformer => {
                    let rows = stored.shape.first().copied().unwrap_or(0);
                    transformer::map(name, rows, stored.width() as i64)
                }
                Component::TextEncoder => Mapped::Whole(text_encoder::map(name)),
                Component::Vae => Mapped::Whole(vae::map(name, levels)),
            };
            match mapped {
                Mapped::Whole(name) => index.insert(name, (0, stored.clone()))?,
                Mapped::Rows(parts) => {
                    for (name, rows) in parts {
                        index.insert(name, (0, stored.narrow_rows(rows)?))?;
                    }
                }
            }
        }
        index.skip_leftovers();
        if Component::ALL.into_iter().find(|other| self.has(*other)) == Some(component) {
            self.check_rest(&mut index)?;
        }
        Ok(index)
    }

    /// The shapes of the component's tensors, from which its dimensions follow.
    pub(crate) fn shapes<'a>(&'a self, index: &'a TensorIndex) -> Shapes<'a> {
        let shapes = index.tensors.iter().map(|(name, (_, s))| (name.as_str(), s.shape.as_slice()));
        Shapes { place: self.label(), shapes: shapes.collect::<BTreeMap<_, _>>() }
    }

    /// The component's tensors, named without what they begin with.
    fn of(&self, component: Component) -> impl Iterator<Item = (&str, &StoredTensor)> {
        let prefix = self.contents.prefix(component).unwrap_or_default();
        let belongs = move |name: &str| self.contents.component(name) == Some(component);
        let belonging = self.tensors.iter().filter(move |(name, _)| belongs(name));
        belonging.map(|(name, stored)| (&name[prefix.len()..], stored))
    }

    /// Checks that tensors of no component are known leftovers.
    fn check_rest(&self, index: &mut TensorIndex) -> Result<()> {
        let rest = self.tensors.iter().map(|(name, _)| name);
        let is_prepared = self.origin_name().is_some();
        let rest = rest.filter(|name| {
            self.contents.component(name).is_none() && !(is_prepared && record::is_own(name))
        });
        let is_leftover = |name: &str| {
            Component::ALL.into_iter().any(|component| leftovers::is_leftover(component, name))
        };
        let (leftovers, names): (Vec<_>, Vec<_>) =
            rest.cloned().partition(|name| is_leftover(name));
        index.remark_leftovers(&leftovers);
        if names.is_empty() {
            return Ok(());
        }
        Err(Error::SurplusTensors { place: self.label().to_owned(), names })
    }
}

/// The number that a single-precision one stands for: 1e-6 and not 9.999999974752427e-7.
fn decimal(value: f64) -> f64 {
    (value as f32).to_string().parse().unwrap_or(value)
}
