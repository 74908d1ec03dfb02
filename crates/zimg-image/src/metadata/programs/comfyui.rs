//! ComfyUI's metadata: the graph that was run, in the format of its API, as JSON under `prompt`. A
//! simple one is read: one sampler whose inputs lead to texts, a seed and empty latents. Its other
//! text, `workflow`, has the layout of the screen and is not read.

use serde_json::Value;

use super::json::{self, Object};
use super::{ForeignParams, MetadataWriter, Reading, UnreadMetadata};
use crate::metadata::containers::{FileTexts, field};
use crate::metadata::generation::GenerationMetadata;

/// Nodes that sample, with the names of the seed and of the inputs.
const SAMPLERS: [&str; 3] = ["KSampler", "KSamplerAdvanced", "SamplerCustomAdvanced"];
/// How many links are followed from one input.
const LINKS_MAX: usize = 16;
/// Fields of EXIF in which ComfyUI and its extensions put the texts, with a prefix.
const FIELDS: [&str; 3] = [field::MODEL, field::MAKE, field::IMAGE_DESCRIPTION];

/// The graph, or the layout if only that was left.
pub(super) fn read(texts: &FileTexts) -> Option<Reading> {
    let graph = texts.get("prompt").or_else(|| prefixed(texts, ["prompt:", "Prompt:"]));
    let graph = graph.or_else(|| texts.get(field::USER_COMMENT));
    let layout = texts.get("workflow").or_else(|| prefixed(texts, ["workflow:", "Workflow:"]));
    let nodes = graph.and_then(json::object).and_then(nodes);
    let metadata = match &nodes {
        Some(nodes) => Graph(nodes).read(texts.size()),
        None => Err(UnreadMetadata::Format),
    };
    let layout = layout.filter(|text| json::object(text).is_some());
    let text = graph.filter(|_| nodes.is_some()).or(layout)?.to_owned();
    Some(Reading { writer: MetadataWriter::ComfyUi, text, metadata })
}

fn prefixed<'a>(texts: &'a FileTexts, prefixes: [&str; 2]) -> Option<&'a str> {
    FIELDS.iter().flat_map(|field| texts.with(field)).find_map(|text| {
        prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)).map(str::trim)
    })
}

/// The nodes of a graph; Civitai's generator has its own notes beside them.
fn nodes(mut root: Object) -> Option<Object> {
    root.retain(|name, _| !matches!(&**name, "extra" | "extraMetadata"));
    let is_graph = !root.is_empty() && root.values().all(|node| node.get("class_type").is_some());
    is_graph.then_some(root)
}

/// Nodes by their names.
struct Graph<'a>(&'a Object);

/// A node: its class and its inputs.
#[derive(Clone, Copy)]
struct Node<'a> {
    class: &'a str,
    inputs: &'a Object,
}

impl<'a> Graph<'a> {
    fn node(&self, name: &str) -> Option<Node<'a>> {
        let node = self.0.get(name)?;
        let inputs = node.get("inputs")?.as_object()?;
        Some(Node { class: node.get("class_type")?.as_str()?, inputs })
    }

    /// The node that an input is linked to.
    fn linked(&self, node: Node<'a>, input: &str) -> Option<Node<'a>> {
        let link = node.inputs.get(input)?.as_array()?;
        self.node(link.first()?.as_str()?)
    }

    fn read(&self, size: Option<(u32, u32)>) -> Result<GenerationMetadata, UnreadMetadata> {
        let mut samplers = self.0.keys().filter_map(|name| self.node(name));
        let found: Vec<_> =
            samplers.by_ref().filter(|node| SAMPLERS.contains(&node.class)).collect();
        let [sampler] = found[..] else { return Err(UnreadMetadata::Samplers(found.len())) };
        if self.linked(sampler, "latent_image").is_some_and(|node| node.class.contains("Encode")) {
            return Err(UnreadMetadata::FromImage);
        }
        self.sampled(sampler).metadata(size)
    }

    fn sampled(&self, sampler: Node<'a>) -> ForeignParams {
        // A custom sampler has its inputs in nodes of their own, the others have them themselves.
        let part = |input| self.linked(sampler, input).unwrap_or(sampler);
        let (noise, guider, sigmas) = (part("noise"), part("guider"), part("sigmas"));
        let positive = ["positive", "conditioning"]
            .into_iter()
            .find_map(|input| self.prompt(self.linked(guider, input)?));
        let latents = self.linked(sampler, "latent_image");
        let side = |name: &str| self.number(latents?, &[name]).and_then(|n| n.try_into().ok());
        ForeignParams {
            prompt: positive,
            negative: self.linked(guider, "negative").and_then(|node| self.prompt(node)),
            width: side("width"),
            height: side("height"),
            steps: self.number(sigmas, &["steps"]).and_then(|steps| steps.try_into().ok()),
            seed: self.number(noise, &["seed", "noise_seed"]),
            cfg: json::real(guider.inputs, "cfg"),
            model: self.model(guider),
            program: Some("ComfyUI".to_owned()),
        }
    }

    /// An integer, or that of the node that the input is linked to.
    fn number(&self, mut node: Node<'a>, inputs: &[&str]) -> Option<u64> {
        let linked = ["value", "int", "seed", "number", "Number"];
        let mut names = inputs;
        for _ in 0..LINKS_MAX {
            let name = names.iter().find(|name| node.inputs.contains_key(**name))?;
            let value = node.inputs.get(*name)?;
            if !value.is_array() {
                return json::integer(value);
            }
            node = self.linked(node, name)?;
            names = &linked;
        }
        None
    }

    /// The text that conditioning was made from, through nodes that change the conditioning.
    fn prompt(&self, mut node: Node<'a>) -> Option<String> {
        for _ in 0..LINKS_MAX {
            if node.class == "ConditioningZeroOut" {
                return None;
            }
            let names = ["text", "t5xxl", "prompt", "value", "string", "String"];
            match names.iter().find_map(|name| Some((name, node.inputs.get(*name)?))) {
                Some((_, Value::String(text))) => return Some(text.clone()),
                Some((name, Value::Array(_))) => node = self.linked(node, name)?,
                _ => node = self.linked(node, "conditioning")?,
            }
        }
        None
    }

    /// The name of the model's file, at the end of the links of `model`.
    fn model(&self, mut node: Node<'a>) -> Option<String> {
        for _ in 0..LINKS_MAX {
            let names = ["unet_name", "ckpt_name", "model_name"];
            let name = names.iter().find_map(|name| json::text(node.inputs, name));
            if name.is_some() {
                return name;
            }
            node = self.linked(node, "model")?;
        }
        None
    }
}
