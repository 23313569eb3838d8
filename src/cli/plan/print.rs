//! A plan as a table for people, or as JSON for pipelines. Pure.

use std::fmt::Write;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use super::details;
use super::look::Look;
use crate::api::{Gating, Mode};
use crate::domain::action::PlannedAction;
use crate::domain::finding::{Disposition, Finding, FindingKey};

/// Longest text in a cell, characters.
const MAX_CELL: usize = 400;

/// All looks as text, as wide as the terminal.
pub(super) fn table(looks: &[Look], width: u16) -> String {
    let mut out = String::new();
    for look in looks {
        // Writing to a String cannot fail.
        let _ = write_look(&mut out, look, width);
    }
    out
}

fn write_look(out: &mut String, look: &Look, width: u16) -> std::fmt::Result {
    let Look {
        policy,
        place,
        mode,
        caller,
        findings,
        actions,
        not_looked_at,
    } = look;
    writeln!(out, "Policy {} (mode {mode:?}), from {}", clean(policy), clean(place))?;
    if let Some(caller) = caller {
        writeln!(out, "seen as {}", clean(caller))?;
    }
    writeln!(out)?;
    if findings.is_empty() {
        writeln!(out, "No findings.")?;
    } else {
        writeln!(out, "Findings ({})", findings.len())?;
        writeln!(out, "{}", findings_table(findings, width))?;
    }
    writeln!(out)?;
    match (actions.len(), mode) {
        (0, _) => writeln!(out, "Nothing for the operator to do.")?,
        (n, Mode::Enforce) => writeln!(out, "The operator would do ({n})")?,
        (n, Mode::Audit) => writeln!(
            out,
            "In mode Audit nothing is written; in mode Enforce the operator would do ({n})"
        )?,
    }
    for (i, PlannedAction { action, repairs: _ }) in actions.iter().enumerate() {
        writeln!(out, "{:>4}. {action}", i + 1)?;
        for line in details::lines(action) {
            writeln!(out, "      {}", clean(&line))?;
        }
    }
    if !not_looked_at.is_empty() {
        writeln!(out, "\nNot looked at")?;
        for sentence in not_looked_at {
            writeln!(out, "  * {}", clean(sentence))?;
        }
    }
    writeln!(out)
}

fn findings_table(findings: &[Finding], width: u16) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header([
            "Severity",
            "Control",
            "Resource",
            "Setting",
            "Want",
            "Have",
            "What follows",
        ]);
    for finding in findings {
        let Finding {
            control,
            severity,
            target,
            path,
            want,
            have,
            message,
            gating,
            disposition,
            actor: _,
        } = finding;
        let follows = match (gating, disposition) {
            (_, Disposition::NeedsHuman(reason)) => format!("needs a human ({}): {message}", reason.as_str()),
            (_, Disposition::Unobserved) => format!("could not be read: {message}"),
            (_, Disposition::Note) => message.clone(),
            (Gating::ReportOnly, Disposition::Repair) => format!("report-only: {message}"),
            (Gating::Gating, Disposition::Repair) => format!("repaired: {message}"),
        };
        let row = [
            format!("{severity:?}"),
            control.id().to_owned(),
            target.to_string(),
            path.clone(),
            want.clone(),
            have.clone(),
            follows,
        ];
        table.add_row(row.map(|text| cell(&text)));
    }
    table
}

/// Text that others wrote (tags, policies) must not move the cursor.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Nor flood the screen.
fn cell(text: &str) -> String {
    let mut out: String = clean(text).chars().take(MAX_CELL).collect();
    if text.chars().nth(MAX_CELL).is_some() {
        out.push('…');
    }
    out
}

/// All looks as one object: `findings`, `actions` and `notLookedAt` over all policies, each with its policy.
pub(super) fn json(looks: &[Look]) -> Value {
    let of_each = |part: fn(&Look) -> Vec<Value>| -> Vec<Value> {
        let with_policy = |look: &Look| {
            let name = look.policy.clone();
            part(look).into_iter().map(move |mut value| {
                if let Value::Object(object) = &mut value {
                    object.shift_insert(0, "policy".to_owned(), json!(name));
                }
                value
            })
        };
        looks
            .iter()
            .flat_map(|look| with_policy(look).collect::<Vec<_>>())
            .collect()
    };
    json!({
        "policies": of_each(|l| vec![json!({"source": l.place, "mode": l.mode, "caller": l.caller})]),
        "findings": of_each(|l| l.findings.iter().map(finding_json).collect()),
        "actions": of_each(|l| l.actions.iter().map(action_json).collect()),
        "notLookedAt": of_each(|l| l.not_looked_at.iter().map(|s| json!({"message": s})).collect()),
    })
}

fn finding_json(finding: &Finding) -> Value {
    let Finding {
        control,
        severity,
        target,
        path,
        want,
        have,
        message,
        gating,
        disposition,
        actor,
    } = finding;
    let (follows, reason) = match disposition {
        Disposition::NeedsHuman(reason) => ("NeedsHuman", Some(reason.as_str())),
        Disposition::Repair => ("Repair", None),
        Disposition::Unobserved => ("Unobserved", None),
        Disposition::Note => ("Note", None),
    };
    json!({
        "control": control.id(),
        "severity": severity,
        "resource": target.to_string(),
        "path": path,
        "want": want,
        "have": have,
        "message": message,
        "gating": gating,
        "follows": follows,
        "reason": reason,
        "actor": actor,
    })
}

fn action_json(planned: &PlannedAction) -> Value {
    let PlannedAction { action, repairs } = planned;
    let key = |FindingKey {
                   control,
                   resource,
                   path,
               }: &FindingKey| json!({"control": control, "resource": resource, "path": path});
    json!({
        "operation": action.operation(),
        "resource": action.target().to_string(),
        "parameters": details::parameters(action),
        "repairs": repairs.iter().map(key).collect::<Vec<_>>(),
    })
}
