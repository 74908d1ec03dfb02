//! Options of generation parameters, made from the table of `zimage-params`.

use std::iter;
use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;

use clap::builder::{StyledStr, ValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use zimg_client::params::{
    Alias, Conversion, PARAMETERS, Parameter, Range, Surface, Value, ValueKind,
};
use zimg_client::{Params, ParamsError};

use super::values;

/// The heading of generation parameters in the help.
pub(super) const IMAGE: &str = "Image";

/// The parameters that have an option of their own: all but the prompt, and the sides, which
/// `--size` sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ParamOptions(pub(crate) Params);

impl ParamOptions {
    /// These options over `lower`.
    pub(crate) fn or(self, lower: &Self) -> Self {
        Self(self.0.or(&lower.0))
    }
}

impl Deref for ParamOptions {
    type Target = Params;

    fn deref(&self) -> &Params {
        &self.0
    }
}

impl DerefMut for ParamOptions {
    fn deref_mut(&mut self) -> &mut Params {
        &mut self.0
    }
}

impl Args for ParamOptions {
    fn augment_args(command: Command) -> Command {
        let command = PARAMETERS.iter().filter_map(arg).fold(command, Command::arg);
        converted().map(|(row, alias)| converted_arg(row, alias)).fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ParamOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = Self::default();
        options.update_from_arg_matches(matches)?;
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for row in PARAMETERS.iter().filter(|row| has_option(row)) {
            if let Some(value) = value(row, matches) {
                self.0.set(row.name, value).map_err(|error| invalid(&error))?;
            }
        }
        for (row, alias) in converted() {
            if let Some(value) = matches.get_one::<f32>(alias.name) {
                let value = alias.to_parameter(row, Value::Real(*value));
                let set = value.and_then(|value| self.0.set(row.name, value));
                set.map_err(|error| invalid(&error))?;
            }
        }
        Ok(())
    }
}

fn has_option(row: &Parameter) -> bool {
    matches!(row.surface, Surface::Option { .. })
}

/// The name on the command line, which has `-` where the table has `_`.
fn long(name: &'static str) -> &'static str {
    static NAMES: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
        let names = PARAMETERS.iter().flat_map(|row| {
            let aliases = row.aliases.iter().map(|alias| alias.name);
            iter::once(row.name).chain(aliases)
        });
        names.map(|name| (name, name.replace('_', "-"))).collect()
    });
    NAMES.iter().find(|(own, _)| *own == name).map_or(name, |(_, long)| long)
}

/// The hidden spellings of a row's option: other programs' names for the same value, and names with
/// `_`, as in configuration files.
fn spellings(row: &'static Parameter) -> impl Iterator<Item = &'static str> {
    let aliases = row.aliases.iter().filter(|alias| alias.conversion == Conversion::Same);
    let names = aliases.flat_map(|alias| [long(alias.name), alias.name]);
    let mut names: Vec<_> =
        names.chain([row.name]).filter(|name| *name != long(row.name)).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter()
}

/// Names of other programs whose values are in another unit.
fn converted() -> impl Iterator<Item = (&'static Parameter, Alias)> {
    PARAMETERS.iter().filter(|row| has_option(row)).flat_map(|row| {
        let aliases = row.aliases.iter().filter(|alias| alias.conversion != Conversion::Same);
        aliases.map(move |alias| (row, *alias))
    })
}

/// Whether this is the hidden option of a name of other programs.
pub(crate) fn is_converted(name: &str) -> bool {
    converted().any(|(_, alias)| alias.name == name)
}

/// The hidden option of such a name.
fn converted_arg(row: &'static Parameter, alias: Alias) -> Arg {
    let others = converted().filter(move |(_, other)| *other != alias).map(|(_, other)| other.name);
    let mut arg = Arg::new(alias.name)
        .long(long(alias.name))
        .help("The CFG scale of other programs: guidance is C - 1, so that 1 is off")
        .hide(true)
        .value_parser(value_parser!(f32))
        .value_name("C")
        .conflicts_with_all(others.chain([row.name]))
        .allow_negative_numbers(true);
    if long(alias.name) != alias.name {
        arg = arg.alias(alias.name);
    }
    arg
}

/// The option of a row, if it has one of its own.
fn arg(row: &'static Parameter) -> Option<Arg> {
    let Surface::Option { short, advanced } = row.surface else { return None };
    let flag = row.kind() == ValueKind::Flag;
    let mut arg = Arg::new(row.name)
        .long(long(row.name))
        .aliases(spellings(row))
        .help(row.help)
        .help_heading(IMAGE)
        .hide_short_help(advanced)
        .value_parser(match row.range {
            Range::Factor { .. } => ValueParser::new(values::factor),
            _ => parser(row.kind()),
        })
        .action(match row.range {
            Range::Flag => ArgAction::SetTrue,
            Range::Loras => ArgAction::Append,
            _ => ArgAction::Set,
        });
    if !flag {
        arg = arg.value_name(row.value_name);
    }
    if let Some(short) = short {
        arg = arg.short(short);
    }
    if let Some(details) = row.details {
        arg = arg.long_help(StyledStr::from(format!("{}\n\n{details}", row.help)));
    }
    let number = matches!(row.kind(), ValueKind::Integer | ValueKind::Real);
    Some(arg.allow_negative_numbers(number))
}

fn parser(kind: ValueKind) -> ValueParser {
    match kind {
        ValueKind::Text => ValueParser::string(),
        ValueKind::Integer => value_parser!(u64).into(),
        ValueKind::Real => value_parser!(f32).into(),
        ValueKind::Flag => ValueParser::bool(),
    }
}

fn value(row: &Parameter, matches: &ArgMatches) -> Option<Value> {
    match row.kind() {
        ValueKind::Text if row.range == Range::Loras => {
            let all: Vec<String> = matches.get_many(row.name)?.cloned().collect();
            Some(Value::Text(all.join(",")))
        }
        ValueKind::Text => matches.get_one(row.name).cloned().map(Value::Text),
        ValueKind::Integer => matches.get_one(row.name).copied().map(Value::Integer),
        ValueKind::Real => matches.get_one(row.name).copied().map(Value::Real),
        ValueKind::Flag => matches.get_one(row.name).copied().filter(|on| *on).map(Value::Flag),
    }
}

fn invalid(error: &ParamsError) -> clap::Error {
    let mut invalid = clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n"));
    if let Some(hint) = error.hint() {
        let tip = ContextValue::StyledStrs(vec![hint.into()]);
        invalid.insert(ContextKind::Suggested, tip);
    }
    invalid
}
