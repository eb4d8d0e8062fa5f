//! One packet's way through the rules: an evaluation where it comes in and one where it leaves.

use crate::layout::*;
use crate::matching::{Moment, above};
use crate::verdict::{Verdict, action, keep};
use crate::{Facts, Host};

const FORWARDED: u8 = 0;
const TO_GATEWAY: u8 = 1;

/// What one evaluation came to.
#[derive(Clone, Copy, Default)]
struct Evaluation {
    /// Offset of the rule that decided; 0 if none did.
    rule: usize,
    /// Of that rule's outcome: actions and flags.
    head: u32,
    /// Of that rule's outcome: codes and label.
    codes: u32,
    /// Of that rule's outcome: its set of timeouts.
    timeouts: u32,
    /// Whether a match rule logs.
    log: bool,
    /// Label of the last match rule that has one.
    label: u32,
    /// Whether the interface is skipped.
    skipped: bool,
}

/// Decides about a packet.
///
/// A forwarded packet has to pass the rules inbound on its ingress and outbound on its egress
/// interface; others pass one of them. Tags of the first evaluation are seen by the second.
pub fn decide<H: Host>(image: &[u32], facts: &Facts, host: &mut H) -> Verdict {
    let mut moment = Moment::new(image, facts, host);
    let received = interface(image, facts.in_if);
    moment.received = received;
    let mut inbound = Evaluation::default();
    if facts.direction <= TO_GATEWAY {
        inbound = evaluate(&mut moment, 0, received);
        if inbound.rule != 0 && action_of(facts, inbound) != action::PASS {
            return blocked(&moment, inbound, inbound.log);
        }
    }
    let mut outbound = Evaluation::default();
    if facts.direction == FORWARDED || facts.direction > TO_GATEWAY {
        let interface = interface(image, facts.out_if);
        outbound = evaluate(&mut moment, 1, interface);
        if outbound.rule != 0 && action_of(facts, outbound) != action::PASS {
            return blocked(&moment, outbound, inbound.log || logs(inbound) || outbound.log);
        }
    }
    passed(&moment, inbound, outbound)
}

/// The rules' own number of an interface, 0 if no rule names it.
fn interface(image: &[u32], id: u16) -> u32 {
    let id = usize::from(id);
    if id < INTERFACE_IDS { image[image[H_INTERFACES] as usize + id] } else { 0 }
}

fn evaluate<H: Host>(moment: &mut Moment<'_, H>, out: usize, interface: u32) -> Evaluation {
    let image = moment.image;
    let skip = if interface < 32 { image[H_SKIP_LOW] } else { image[H_SKIP_HIGH] };
    let mut evaluation = Evaluation::default();
    if skip & (1 << (interface & 31)) != 0 {
        evaluation.skipped = true;
        return evaluation;
    }
    moment.interface = interface;
    moment.gates = [0; GATES_MAX / 32];
    moment.matched = 0;
    let class = (out * 2 + usize::from(moment.facts.v6)) * INTERFACES + interface as usize;
    let forest = image[image[H_CLASSES] as usize + class] as usize;
    if forest == 0 {
        return evaluation;
    }
    let count = image[forest] as usize;
    if count == 1 {
        let (first, len) = leaf(image, moment.facts, image[forest + 1]);
        for entry in &image[first..first + len] {
            if step(moment, &mut evaluation, *entry) {
                break;
            }
        }
    } else {
        merge(moment, &mut evaluation, forest, count.min(TREES_MAX));
    }
    if evaluation.rule != 0 {
        let at = outcome(image, evaluation.rule);
        let words = &image[at..at + OUTCOME_WORDS];
        (evaluation.head, evaluation.codes, evaluation.timeouts) = (words[0], words[1], words[2]);
    }
    evaluation
}

/// Tries the rules of several leaves in the order of their indexes.
fn merge<H: Host>(
    moment: &mut Moment<'_, H>,
    evaluation: &mut Evaluation,
    forest: usize,
    count: usize,
) {
    let image = moment.image;
    let mut heads = [(u32::MAX, 0, 0); TREES_MAX];
    for (tree, head) in heads[..count].iter_mut().enumerate() {
        let (first, len) = leaf(image, moment.facts, image[forest + 1 + tree]);
        *head = (index_at(image, first, first + len), first, first + len);
    }
    loop {
        let mut best = 0;
        for tree in 1..count {
            if heads[tree].0 < heads[best].0 {
                best = tree;
            }
        }
        let (index, at, end) = heads[best];
        if index == u32::MAX || step(moment, evaluation, image[at]) {
            return;
        }
        heads[best] = (index_at(image, at + 1, end), at + 1, end);
    }
}

fn index_at(image: &[u32], at: usize, end: usize) -> u32 {
    if at < end { image[at] & 0xffff } else { u32::MAX }
}

/// Walks a tree to its leaf: where its entries begin and how many there are.
#[inline]
fn leaf(image: &[u32], facts: &Facts, root: u32) -> (usize, usize) {
    let fields = [
        u32::from(facts.proto),
        u32::from(facts.dport),
        u32::from(facts.sport),
        facts.src[3],
        facts.dst[3],
        0,
        0,
        0,
    ];
    let nodes = image[H_NODES] as usize;
    let mut node = root as usize;
    loop {
        let at = nodes + node * NODE_WORDS;
        let (head, threshold) = (image[at], image[at + 1]);
        let field = head >> NODE_FIELD_SHIFT;
        let rest = (head & NODE_MASK) as usize;
        if field == FIELD_LEAF {
            return (image[H_ENTRIES] as usize + rest, threshold as usize);
        }
        let right = if facts.v6 && field >= FIELD_SRC {
            let address = if field == FIELD_SRC { &facts.src } else { &facts.dst };
            above(image, threshold, address)
        } else {
            fields[field as usize & 7] > threshold
        };
        node = if right { rest } else { node + 1 };
    }
}

/// Tries one rule; returns whether the evaluation ends.
#[inline]
fn step<H: Host>(moment: &mut Moment<'_, H>, evaluation: &mut Evaluation, entry: u32) -> bool {
    let image = moment.image;
    let index = entry & 0xffff;
    let rule = image[H_RULES] as usize + index as usize * RULE_WORDS;
    if !moment.matches(rule, entry >> ENTRY_CHECK_SHIFT) {
        return false;
    }
    let flags = image[rule + R_FLAGS];
    let argument = flags >> FLAG_ARGUMENT_SHIFT;
    let kind = flags & KIND_MASK;
    if kind == KIND_MARKER {
        if flags & FLAG_GATE != 0 {
            moment.gates[(argument >> 5 & 7) as usize] |= 1 << (argument & 31);
        }
        return flags & FLAG_QUICK != 0;
    }
    moment.matched = index + 1;
    if flags & FLAG_TAG != 0 {
        moment.tag = image[image[H_TAGS] as usize + argument as usize];
    }
    if kind == KIND_DECIDES {
        evaluation.rule = rule;
    } else {
        evaluation.log |= flags & FLAG_LOG != 0;
        let label = label_of(image, rule);
        if label != 0 {
            evaluation.label = label;
        }
    }
    flags & FLAG_QUICK != 0
}

fn outcome(image: &[u32], rule: usize) -> usize {
    image[H_OUTCOMES] as usize + image[rule + R_OUTCOME] as usize * OUTCOME_WORDS
}

fn action_of(facts: &Facts, evaluation: Evaluation) -> u8 {
    let head = evaluation.head;
    (if facts.proto == 6 { head } else { head >> OUTCOME_OTHER_SHIFT }) as u8
}

fn label_of(image: &[u32], rule: usize) -> u32 {
    image[outcome(image, rule) + 1] >> 16
}

/// Whether the rule that decided an evaluation logs.
fn logs(evaluation: Evaluation) -> bool {
    evaluation.head & OUTCOME_LOG != 0
}

fn label_id(image: &[u32], evaluation: Evaluation) -> u16 {
    let own = evaluation.codes >> 16;
    let label = if own == 0 { evaluation.label } else { own };
    if label == 0 { 0 } else { image[image[H_LABELS] as usize + label as usize] as u16 }
}

fn number(image: &[u32], evaluation: Evaluation) -> u16 {
    if evaluation.rule == 0 { 0 } else { (image[evaluation.rule + R_NUMBER] >> 16) as u16 }
}

fn new_tag<H>(moment: &Moment<'_, H>) -> u16 {
    if moment.tag == u32::from(moment.facts.tag) { 0 } else { moment.tag as u16 }
}

fn blocked<H: Host>(moment: &Moment<'_, H>, evaluation: Evaluation, log: bool) -> Verdict {
    let (image, facts) = (moment.image, moment.facts);
    let action = action_of(facts, evaluation);
    let (set, shift) = if facts.v6 { (OUTCOME_CODE6, 8) } else { (OUTCOME_CODE4, 0) };
    let has_code = action == action::RETURN_ICMP && evaluation.head & set != 0;
    Verdict {
        action,
        log: log || logs(evaluation),
        rule: number(image, evaluation),
        icmp_code: has_code.then_some((evaluation.codes >> shift) as u8),
        tag: new_tag(moment),
        label: label_id(image, evaluation),
        ..Verdict::default()
    }
}

fn passed<H: Host>(moment: &Moment<'_, H>, inbound: Evaluation, outbound: Evaluation) -> Verdict {
    let (image, facts) = (moment.image, moment.facts);
    let log = inbound.log || outbound.log || logs(inbound) || logs(outbound);
    let tag = new_tag(moment);
    let mut verdict = Verdict { action: action::PASS, log, tag, ..Verdict::default() };
    if inbound.rule == 0 && outbound.rule == 0 {
        let skipped = inbound.skipped || outbound.skipped;
        verdict.keep = keep::NONE;
        verdict.label = label_id(image, inbound);
        if verdict.label == 0 {
            verdict.label = label_id(image, outbound);
        }
        if image[H_UNMATCHED] != 0 && !skipped {
            return Verdict { action: action::CONTINUE, log, tag, ..Verdict::default() };
        }
        return verdict;
    }
    let first = if inbound.rule != 0 { inbound } else { outbound };
    verdict.rule = number(image, first);
    verdict.label = label_id(image, inbound);
    if verdict.label == 0 {
        verdict.label = label_id(image, outbound);
    }
    verdict.keep = strictest(inbound, outbound);
    let evaluated_in = facts.direction <= TO_GATEWAY && !inbound.skipped;
    let evaluated_out = facts.direction != TO_GATEWAY && !outbound.skipped;
    verdict.allow_options =
        (!evaluated_in || options(inbound)) && (!evaluated_out || options(outbound));
    if verdict.keep != keep::NONE && inbound.timeouts | outbound.timeouts != 0 {
        verdict.timeouts = timeouts(image, facts, inbound);
        for (mine, other) in verdict.timeouts.iter_mut().zip(timeouts(image, facts, outbound)) {
            if *mine == 0 {
                *mine = other;
            }
        }
    }
    verdict
}

fn options(evaluation: Evaluation) -> bool {
    evaluation.head & OUTCOME_OPTIONS != 0
}

/// No state if one of the rules wants none, else the state with the most checks.
fn strictest(inbound: Evaluation, outbound: Evaluation) -> u8 {
    let rank = |evaluation: Evaluation| {
        if evaluation.rule == 0 {
            return u8::MAX;
        }
        match (evaluation.head >> OUTCOME_KEEP_SHIFT) as u8 {
            keep::NONE => 0,
            keep::LOOSE => 2,
            keep::SLOPPY => 3,
            _ => 1,
        }
    };
    match rank(inbound).min(rank(outbound)) {
        0 => keep::NONE,
        2 => keep::LOOSE,
        3 => keep::SLOPPY,
        _ => keep::STATE,
    }
}

fn timeouts(image: &[u32], facts: &Facts, evaluation: Evaluation) -> [u32; 6] {
    let mut seconds = [0; 6];
    let set = evaluation.timeouts as usize;
    if set == 0 {
        return seconds;
    }
    let kind = match facts.proto {
        6 => 0,
        17 => 1,
        1 | 58 => 2,
        _ => 3,
    };
    let at = image[H_TIMEOUTS] as usize + set * TIMEOUT_WORDS + kind * 6;
    seconds.copy_from_slice(&image[at..at + 6]);
    seconds
}
