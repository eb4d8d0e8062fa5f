//! The image that the kernel walks: rules, trees and names as 32-bit words.

use std::collections::BTreeMap;

use evergate_abi::{Action, Keep as AbiKeep, ResolveKind};
use evergate_rules_kernel::layout::*;

use crate::lower::{DPORT, DST, LowRule, PROTO, SPORT, SRC, Value, space};
use crate::program::{Answer, FlatRule, InterfaceSet, Keep, Kind, Program, Unmatched};
use crate::tree::{Builder, Node, Tree};

/// Up to so many rules share one tree; more are parted by what is special about them.
const ONE_TREE_MAX: usize = 64;
/// Fuel of a decision beside its trees, from measurements with room to spare.
const BASE_FUEL: u64 = 1_500;
/// Fuel of choosing between the heads of several trees, for each rule and tree.
const MERGE_FUEL: u64 = 16;

/// An image and what it can cost.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) words: Vec<u32>,
    /// The most fuel of a decision.
    pub(crate) fuel: u64,
    /// Nodes of all trees.
    pub(crate) nodes: usize,
    /// Entries of the longest leaf.
    pub(crate) longest: usize,
}

/// Words for unsigned 32-bit offsets.
fn word(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

struct Layout<'a> {
    program: &'a Program,
    low: Vec<LowRule>,
    may_overrule: bool,
    ranges4: BTreeMap<(u128, u128), u32>,
    ranges6: BTreeMap<(u128, u128), u32>,
    /// Nodes and entries of all trees so far.
    nodes: Vec<[u32; NODE_WORDS]>,
    entries: Vec<u32>,
    /// Trees by family and rules: root, fuel, longest leaf.
    trees: BTreeMap<(bool, Vec<u16>), (u32, u64, usize)>,
    longest: usize,
}

/// Lays a program out.
pub(crate) fn lay_out(program: &Program) -> Image {
    let low: Vec<LowRule> = program.rules.iter().map(LowRule::new).collect();
    // A rule that ends the evaluation without deciding shows what was decided before it.
    let may_overrule = !program
        .rules
        .iter()
        .any(|rule| rule.kind == Kind::Leave || (rule.kind == Kind::Match && rule.quick));
    let mut layout = Layout {
        program,
        low,
        may_overrule,
        ranges4: BTreeMap::new(),
        ranges6: BTreeMap::new(),
        nodes: Vec::new(),
        entries: Vec::new(),
        trees: BTreeMap::new(),
        longest: 0,
    };
    layout.image()
}

impl Layout<'_> {
    fn image(&mut self) -> Image {
        let mut words = vec![0; HEADER_WORDS];
        words[0] = MAGIC;
        let (classes, forests, fuel) = self.classes();
        let forests_at = words.len() + classes.len();
        words[H_CLASSES] = word(words.len());
        words.extend(classes.iter().map(|class| match class {
            0 => 0,
            class => class - 1 + word(forests_at),
        }));
        words.extend(&forests);
        let rules = self.rules(&mut words);
        for (header, part) in
            [(H_NODES, self.nodes.as_flattened()), (H_ENTRIES, &self.entries), (H_RULES, &rules)]
        {
            words[header] = word(words.len());
            words.extend(part);
        }
        words[H_RANGES4] = word(words.len());
        words.extend(in_order(&self.ranges4).flat_map(|(first, last)| [low32(first), low32(last)]));
        words[H_RANGES6] = word(words.len());
        words.extend(in_order(&self.ranges6).flat_map(|(first, last)| {
            let (first, last) = (words_of(first), words_of(last));
            first.into_iter().chain(last)
        }));
        self.names(&mut words);
        let skip = self.program.skip.map_or(0, |set| set.0);
        words[H_SKIP_LOW] = (skip & 0xffff_ffff) as u32;
        words[H_SKIP_HIGH] = (skip >> 32) as u32;
        words[H_UNMATCHED] = u32::from(self.program.unmatched == Unmatched::Continue);
        Image { words, fuel, nodes: self.nodes.len(), longest: self.longest }
    }

    /// The class table (offset plus 1 into the forests), the forests, and the fuel.
    fn classes(&mut self) -> (Vec<u32>, Vec<u32>, u64) {
        let mut classes = vec![0; 4 * INTERFACES];
        let mut forests: Vec<u32> = Vec::new();
        let mut known: BTreeMap<Vec<u32>, u32> = BTreeMap::new();
        let mut worst = [0; 2];
        for (direction, worst) in worst.iter_mut().enumerate() {
            for v6 in [false, true] {
                for interface in 0..=self.program.interfaces.len().min(INTERFACES - 1) {
                    let groups = self.groups(direction, v6, interface);
                    let mut roots = Vec::new();
                    let (mut fuel, mut entries) = (0, 0);
                    for group in groups {
                        let (root, cost, longest) = self.tree(v6, group);
                        roots.push(root);
                        fuel += cost;
                        entries += longest;
                    }
                    if roots.is_empty() {
                        continue;
                    }
                    fuel += MERGE_FUEL * (roots.len() * roots.len() * (entries + 2)) as u64;
                    *worst = fuel.max(*worst);
                    self.longest = self.longest.max(entries);
                    let class = (direction * 2 + usize::from(v6)) * INTERFACES + interface;
                    classes[class] = *known.entry(roots).or_insert_with_key(|roots| {
                        let at = forests.len();
                        forests.push(word(roots.len()));
                        forests.extend(roots);
                        word(at + 1)
                    });
                }
            }
        }
        (classes, forests, BASE_FUEL + worst[0] + worst[1])
    }

    /// The rules of a class, parted so that no tree is split along fields most of its rules leave
    /// open.
    fn groups(&self, direction: usize, v6: bool, interface: usize) -> Vec<Vec<u16>> {
        let mut all = Vec::new();
        for (index, rule) in self.low.iter().enumerate() {
            let fits = rule.directions >> direction & 1 != 0
                && rule.families >> u8::from(v6) & 1 != 0
                && rule.interfaces >> interface & 1 != 0
                && !rule.is_empty();
            if fits && let Ok(index) = u16::try_from(index) {
                all.push(index);
            }
        }
        if all.is_empty() {
            return Vec::new();
        }
        if all.len() <= ONE_TREE_MAX {
            return vec![all];
        }
        let mut groups = vec![Vec::new(); TREES_MAX];
        let whole = space(v6);
        for index in all {
            let rule = &self.low[usize::from(index)];
            let width = |field: usize| {
                let (first, last) = rule.region[field];
                if first <= whole[field].0 && last >= whole[field].1 {
                    None
                } else {
                    Some(last - first)
                }
            };
            let part = match (width(DST), width(SRC)) {
                (None, None) => 0,
                (Some(_), None) => 1,
                (None, Some(_)) => 2,
                (Some(dst), Some(src)) => {
                    if dst <= src {
                        1
                    } else {
                        2
                    }
                }
            };
            let own = if rule.interfaces == u64::MAX { 0 } else { 3 };
            groups[part + own].push(index);
        }
        groups.retain(|group| !group.is_empty());
        groups
    }

    fn tree(&mut self, v6: bool, group: Vec<u16>) -> (u32, u64, usize) {
        let key = (v6, group);
        if let Some(known) = self.trees.get(&key) {
            return *known;
        }
        let tree = Builder::build(&self.low, &key.1, space(v6), self.may_overrule);
        let root = self.append(&tree, v6);
        let made = (root, tree.cost.fuel, tree.cost.entries);
        self.trees.insert(key, made);
        made
    }

    fn append(&mut self, tree: &Tree, v6: bool) -> u32 {
        let base = self.nodes.len();
        for node in &tree.nodes {
            let words = match node {
                Node::Split { field, threshold, right } => {
                    let value = if v6 && (*field == SRC || *field == DST) {
                        self.range(true, *threshold, *threshold)
                    } else {
                        low32(*threshold)
                    };
                    [word(*field) << NODE_FIELD_SHIFT | word(base + right), value]
                }
                Node::Leaf(entries) => {
                    let at = word(self.entries.len());
                    self.entries.extend(entries);
                    [FIELD_LEAF << NODE_FIELD_SHIFT | at, word(entries.len())]
                }
            };
            self.nodes.push(words);
        }
        word(base)
    }

    /// The number of a range, made if it is new.
    fn range(&mut self, v6: bool, first: u128, last: u128) -> u32 {
        let ranges = if v6 { &mut self.ranges6 } else { &mut self.ranges4 };
        let next = word(ranges.len());
        *ranges.entry((first, last)).or_insert(next)
    }

    /// The rules' words; outcomes, timeouts and predicates go into the image at once.
    fn rules(&mut self, image: &mut Vec<u32>) -> Vec<u32> {
        let mut outcomes: BTreeMap<[u32; OUTCOME_WORDS], u32> = BTreeMap::new();
        let mut timeouts: BTreeMap<[[u32; 6]; 4], u32> = BTreeMap::from([([[0; 6]; 4], 0)]);
        let mut predicates: Vec<u32> = Vec::new();
        let mut known: BTreeMap<Vec<u32>, u32> = BTreeMap::new();
        let mut words = Vec::with_capacity(self.low.len() * RULE_WORDS);
        let program = self.program;
        for (index, rule) in program.rules.iter().enumerate() {
            let next = word(timeouts.len());
            let set = *timeouts.entry(rule.states.timeouts).or_insert(next);
            let next = word(outcomes.len());
            let outcome = *outcomes.entry(outcome(rule, set)).or_insert(next);
            let region = self.low[index].region;
            let own = self.predicates(index, &mut predicates);
            let count = word(own.len() / PREDICATE_WORDS);
            let at = *known.entry(own).or_insert_with_key(|own| {
                let at = word(predicates.len());
                predicates.extend(own);
                at
            });
            let v6 = self.low[index].families == 2;
            let span = |field: usize| {
                low32(region[field].0) & 0xffff | (low32(region[field].1) & 0xffff) << 16
            };
            let number = u32::from(rule.number);
            let proto = low32(region[PROTO].0) & 0xff;
            words.extend([
                outcome,
                at,
                proto | count << 8 | number << 16,
                span(DPORT),
                span(SPORT),
            ]);
            for field in [SRC, DST] {
                let (first, last) = region[field];
                let open = first == 0 && last >= space(v6)[field].1;
                words.push(if open { 0 } else { self.range(v6, first, last) });
            }
            words.push(flags(rule));
        }
        image[H_OUTCOMES] = word(image.len());
        image.extend(in_order(&outcomes).flatten());
        image[H_TIMEOUTS] = word(image.len());
        image.extend(in_order(&timeouts).flatten().flatten());
        image[H_PREDICATES] = word(image.len());
        image.extend(predicates);
        words
    }

    fn predicates(&mut self, index: usize, masks: &mut Vec<u32>) -> Vec<u32> {
        let v6 = self.low[index].families == 2;
        let mut words = Vec::new();
        for predicate in self.low[index].predicates.clone() {
            let not = if predicate.negated { PREDICATE_NOT } else { 0 };
            let value = match predicate.value {
                Value::Number(n) => n,
                Value::Range(first, last) => self.range(v6, first, last),
                Value::Interfaces(InterfaceSet(bits)) => {
                    let at = word(masks.len());
                    masks.extend([(bits & 0xffff_ffff) as u32, (bits >> 32) as u32]);
                    at
                }
            };
            words.extend([predicate.kind | not | predicate.argument << 16, value]);
        }
        words
    }

    /// Names, and where their ids go.
    fn names(&self, words: &mut Vec<u32>) {
        let program = self.program;
        words[H_INTERFACES] = word(words.len());
        words.extend([0; INTERFACE_IDS]);
        let mut names: Vec<(u32, &str, usize, u32)> = Vec::new();
        for (index, name) in program.interfaces.iter().enumerate() {
            names.push((ResolveKind::Interface as u32, name, 0, word(index + 1)));
        }
        let lists: [(usize, ResolveKind, Vec<&str>, usize); 3] = [
            (H_TAGS, ResolveKind::Tag, program.tags.iter().map(String::as_str).collect(), 0),
            (H_LABELS, ResolveKind::Label, program.labels.iter().map(String::as_str).collect(), 1),
            (
                H_TABLES,
                ResolveKind::Table,
                program.tables.iter().map(|table| table.name.as_str()).collect(),
                0,
            ),
        ];
        for (header, kind, list, first) in lists {
            let at = words.len();
            words[header] = word(at);
            words.extend(std::iter::repeat_n(0, first + list.len()));
            for (index, name) in list.into_iter().enumerate() {
                names.push((kind as u32, name, at + first + index, 0));
            }
        }
        words[H_ROUTES] = word(words.len());
        for number in 0..INTERFACES {
            let table = program.routes.get(number).copied().flatten();
            words.push(table.map_or(0, |table| u32::from(table) + 1));
        }
        let texts = words.len();
        let mut entries = Vec::new();
        for (kind, name, place, value) in names {
            entries.extend([kind | word(name.len()) << 8, word(words.len()), word(place), value]);
            for chunk in name.as_bytes().chunks(4) {
                let mut bytes = [0; 4];
                bytes[..chunk.len()].copy_from_slice(chunk);
                words.push(u32::from_le_bytes(bytes));
            }
        }
        debug_assert!(words.len() >= texts);
        words[H_NAMES] = word(words.len());
        words[H_NAME_COUNT] = word(entries.len() / NAME_WORDS);
        words.extend(entries);
    }
}

/// The keys of a map in the order of their numbers.
fn in_order<K: Copy>(map: &BTreeMap<K, u32>) -> impl Iterator<Item = K> {
    let mut keys: Vec<(u32, K)> = map.iter().map(|(key, number)| (*number, *key)).collect();
    keys.sort_by_key(|(number, _)| *number);
    keys.into_iter().map(|(_, key)| key)
}

fn low32(n: u128) -> u32 {
    (n & 0xffff_ffff) as u32
}

fn words_of(n: u128) -> [u32; 4] {
    [low32(n >> 96), low32(n >> 64), low32(n >> 32), low32(n)]
}

fn flags(rule: &FlatRule) -> u32 {
    let kind = match rule.kind {
        Kind::Pass | Kind::Block => KIND_DECIDES,
        Kind::Match => KIND_MATCH,
        Kind::OpenGate(gate) => KIND_MARKER | FLAG_GATE | u32::from(gate) << FLAG_ARGUMENT_SHIFT,
        Kind::Leave => KIND_MARKER,
    };
    let quick = if rule.quick { FLAG_QUICK } else { 0 };
    let log = if rule.log { FLAG_LOG } else { 0 };
    let tag = rule.tag.map_or(0, |tag| FLAG_TAG | u32::from(tag) << FLAG_ARGUMENT_SHIFT);
    kind | quick | log | tag
}

fn outcome(rule: &FlatRule, timeouts: u32) -> [u32; OUTCOME_WORDS] {
    let Answer { reset, icmp, code4, code6 } = rule.answer;
    let (tcp, other) = match (rule.kind, reset, icmp) {
        (Kind::Block, true, true) => (Action::ReturnRst, Action::ReturnIcmp),
        (Kind::Block, true, false) => (Action::ReturnRst, Action::ReturnRst),
        (Kind::Block, false, true) => (Action::ReturnIcmp, Action::ReturnIcmp),
        (Kind::Block, false, false) => (Action::Block, Action::Block),
        (Kind::Pass | Kind::Match | Kind::OpenGate(_) | Kind::Leave, _, _) => {
            (Action::Pass, Action::Pass)
        }
    };
    let keep = match rule.states.keep {
        Keep::State => AbiKeep::State,
        Keep::None => AbiKeep::None,
        Keep::Sloppy => AbiKeep::Sloppy,
        Keep::Loose => AbiKeep::Loose,
    };
    let mut head = tcp as u32 | (other as u32) << OUTCOME_OTHER_SHIFT;
    head |= (keep as u32) << OUTCOME_KEEP_SHIFT;
    for (on, flag) in [
        (rule.log, OUTCOME_LOG),
        (rule.allow_options, OUTCOME_OPTIONS),
        (code4.is_some(), OUTCOME_CODE4),
        (code6.is_some(), OUTCOME_CODE6),
    ] {
        head |= if on { flag } else { 0 };
    }
    let codes = u32::from(code4.unwrap_or(0)) | u32::from(code6.unwrap_or(0)) << 8;
    let label = rule.label.map_or(0, |label| u32::from(label) + 1);
    [head, codes | label << 16, timeouts, 0]
}
