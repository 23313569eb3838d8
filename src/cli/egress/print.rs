//! Prints what was found.

use std::io::{self, Write};

use comfy_table::{Cell, ContentArrangement, Table, presets};

use crate::domain::egress::report::{Reachable, WorkloadReport};

/// One JSON array, one element a workload.
pub(super) fn json(found: &[WorkloadReport]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, found)?;
    writeln!(out)
}

/// One line.
pub(super) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// A table, one line a block of addresses.
pub(super) fn text(found: &[WorkloadReport]) -> io::Result<()> {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["NAMESPACE", "WORKLOAD", "ISOLATED", "TO", "PORTS", "BY"]);
    for workload in found {
        let WorkloadReport {
            namespace,
            kind,
            name,
            isolated,
            egress,
            peers,
        } = workload;
        let mut first = true;
        let mut line = |to: String, ports: String, by: String| {
            let isolated = if *isolated { "yes" } else { "no" };
            let workload = format!("{kind}/{name}");
            let head = [namespace.as_str(), workload.as_str(), isolated].map(|c| if first { c } else { "" });
            first = false;
            let cells = head.into_iter().map(str::to_owned).chain([to, ports, by]);
            table.add_row(cells.map(Cell::new).collect::<Vec<_>>());
        };
        if egress.is_empty() && peers.is_empty() {
            line("nothing outside".into(), String::new(), String::new());
        }
        for block in merged(egress) {
            line(block.0, block.1, block.2);
        }
        for peer in peers {
            let by = peer.policies.iter().cloned().collect::<Vec<_>>().join(", ");
            line(peer.to.clone(), peer.ports.clone(), by);
        }
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", table.trim_fmt())
}

/// The protocols of one block on one line.
fn merged(egress: &[Reachable]) -> Vec<(String, String, String)> {
    let by_block = egress.chunk_by(|a, b| a.cidr == b.cidr);
    by_block
        .filter_map(|group| {
            let ports = group.iter().flat_map(|r| {
                r.ports.iter().map(|(first, last)| match (first, last) {
                    (1, &u16::MAX) => format!("{}/all", r.protocol),
                    (a, b) if a == b => format!("{}/{a}", r.protocol),
                    (a, b) => format!("{}/{a}-{b}", r.protocol),
                })
            });
            let ports = ports.collect::<Vec<_>>().join(", ");
            let ports = if ports == "SCTP/all, TCP/all, UDP/all" {
                "all".to_owned()
            } else {
                ports
            };
            let by: std::collections::BTreeSet<_> = group.iter().flat_map(|r| r.policies.iter().cloned()).collect();
            let by = if by.is_empty() {
                "no policy".to_owned()
            } else {
                by.into_iter().collect::<Vec<_>>().join(", ")
            };
            group.first().map(|r| (r.cidr.to_string(), ports, by))
        })
        .collect()
}
