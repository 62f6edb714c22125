//! What the rules of one load share: variables, classes, names, buffers, sets of addresses and ports.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::address::addresses;
use super::classification::Classes;
use super::country::Countries;
use super::dataset::{Dataset, DatasetInfo, DatasetSettings};
use super::ir::{
    AddressSet, Buffer, BufferId, BufferSource, HeaderBuffer, PortSet, RuleSet, Transform,
};
use super::names::Names;
use super::port::ports;
use super::reputation::{ReputationSettings, Reputations};
use super::variables::Variables;
use crate::app::AppProto;
use crate::sys::pcre::{Regex, RegexOptions};

type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// A buffer's source as a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum SourceKey {
    Payload,
    Base64,
    Header(HeaderBuffer),
    App(&'static str),
    Frame(AppProto, String),
}

/// Files besides the rules that rules may ask about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataSettings {
    /// Data sets.
    pub datasets: DatasetSettings,
    /// Reputations of addresses.
    pub reputation: ReputationSettings,
    /// The database of countries (MaxMind's format), for `geoip`.
    pub countries: Option<PathBuf>,
}

/// What the rules of one load share.
#[derive(Debug, Default)]
pub struct Context {
    /// Variables in force.
    pub variables: Variables,
    /// Classes and reference systems.
    pub classes: Classes,
    /// What is loaded so far.
    pub set: RuleSet,
    /// Names of flowbits.
    pub(super) bits: Names,
    /// Names of flowints.
    pub(super) ints: Names,
    /// Names of xbits and hostbits.
    pub(super) xbits: Names,
    /// Which flowbits some rule sets, and which are tested (with the place of the first test).
    pub(super) bits_set: std::collections::HashSet<u32>,
    pub(super) bits_tested: Map<u32, (u16, u32, u32)>,
    /// Data sets by name in lower case.
    pub(super) datasets: Map<String, Arc<Dataset>>,
    /// Files besides the rules, and where they may be.
    pub data: DataSettings,
    /// Reputations of addresses, once a rule asked for them.
    pub(super) reputations: Option<Arc<Reputations>>,
    /// The database of countries, once a rule asked for it.
    pub(super) countries: Option<Arc<Countries>>,
    /// Folder of the rule file, for files that rules name.
    pub folder: PathBuf,
    /// Do not compile expressions to see whether they are valid.
    pub trust_expressions: bool,
    /// Things worth saying of the rule in hand.
    pub notes: Vec<String>,
    addresses: Map<Box<str>, Result<Arc<AddressSet>, String>>,
    ports: Map<Box<str>, Result<Arc<PortSet>, String>>,
    buffers: Map<(SourceKey, Vec<Transform>), BufferId>,
}

impl Context {
    /// With the variables of a load.
    pub fn new(variables: Variables, classes: Classes) -> Self {
        Self {
            variables,
            classes,
            ..Self::default()
        }
    }

    /// Goes on with what a load left: names, buffers, classes keep their numbers. Expressions are known to be valid.
    pub(super) fn resume(&mut self, set: &RuleSet) {
        self.bits = Names::of(&set.bit_names);
        self.ints = Names::of(&set.int_names);
        self.xbits = Names::of(&set.xbit_names);
        self.trust_expressions = true;
        for buffer in &set.buffers {
            // The same list in the same order: each gets the number it had.
            let _ = self.buffer(&buffer.source, &buffer.transforms);
        }
    }

    /// The set of addresses of a text; the same text gives the same set.
    pub fn addresses(&mut self, text: &str) -> Result<Arc<AddressSet>, String> {
        if let Some(known) = self.addresses.get(text) {
            return known.clone();
        }
        let set = addresses(text, &self.variables).map(Arc::new);
        self.addresses.insert(text.into(), set.clone());
        set
    }

    /// The set of ports of a text; the same text gives the same set.
    pub fn ports(&mut self, text: &str) -> Result<Arc<PortSet>, String> {
        if let Some(known) = self.ports.get(text) {
            return known.clone();
        }
        let set = ports(text, &self.variables).map(Arc::new);
        self.ports.insert(text.into(), set.clone());
        set
    }

    /// Refuses an expression that does not compile. Each distinct expression is compiled once per load, and not at all when
    /// the load trusts them (an unchanged rule set whose compiled form is cached).
    pub fn check_expression(&mut self, expression: &str, letters: &str) -> Result<(), String> {
        if self.trust_expressions {
            return Ok(());
        }
        let options = RegexOptions::from_letters(letters);
        Regex::compile(expression.as_bytes(), options)
            .map(|_| ())
            .map_err(|why| why.to_string())
    }

    /// Loads a data set.
    pub(super) fn dataset(&mut self, info: DatasetInfo) -> Result<Arc<Dataset>, String> {
        let number = u16::try_from(self.set.datasets.len())
            .map_err(|_| "more than 65,536 different sets of data")?;
        let name = info.name.to_ascii_lowercase();
        let set = Arc::new(Dataset::load(info, number)?);
        self.set.datasets.push(set.clone());
        self.datasets.insert(name, set.clone());
        Ok(set)
    }

    /// The reputations of addresses; read when they are first asked for.
    pub(super) fn reputations(&mut self) -> Result<Arc<Reputations>, String> {
        if let Some(known) = &self.reputations {
            return Ok(known.clone());
        }
        let read = Arc::new(Reputations::load(&self.data.reputation)?);
        self.set.uncached = true;
        Ok(self.reputations.insert(read).clone())
    }

    /// The database of countries; read when it is first asked for.
    pub(super) fn countries(&mut self) -> Result<Arc<Countries>, String> {
        if let Some(known) = &self.countries {
            return Ok(known.clone());
        }
        let path = self.data.countries.as_deref();
        let path = path.ok_or("needs a database of countries (geoip-database)")?;
        let read = Arc::new(Countries::load(path)?);
        self.set.uncached = true;
        Ok(self.countries.insert(read).clone())
    }

    /// The number of a buffer; the same source and transforms give the same number.
    pub fn buffer(
        &mut self,
        source: &BufferSource,
        transforms: &[Transform],
    ) -> Result<BufferId, String> {
        let key = match source {
            BufferSource::Payload => SourceKey::Payload,
            BufferSource::Base64 => SourceKey::Base64,
            BufferSource::Header(header) => SourceKey::Header(*header),
            BufferSource::App { name, .. } => SourceKey::App(name),
            BufferSource::Frame { proto, name } => SourceKey::Frame(*proto, name.clone()),
        };
        let key = (key, transforms.to_vec());
        if let Some(id) = self.buffers.get(&key) {
            return Ok(*id);
        }
        let id = u16::try_from(self.set.buffers.len())
            .map(BufferId)
            .map_err(|_| "more than 65,536 different buffers")?;
        self.set.buffers.push(Buffer {
            source: source.clone(),
            transforms: transforms.to_vec(),
        });
        self.buffers.insert(key, id);
        Ok(id)
    }
}
