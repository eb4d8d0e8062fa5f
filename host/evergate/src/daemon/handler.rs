//! Carries out what the command line asks for.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::policies::parse_entries;
use super::{Running, reports};
use crate::control::{Answers, Handler, Request, TableEntryRow, TableRow};

impl Handler for Running {
    fn handle(&self, request: Request, answers: &mut Answers<'_>) -> Result<Value, String> {
        match request {
            Request::ShowStates { filter, limit } => {
                reports::states(self, &filter, limit, &mut |row| answers.item(row))
            }
            Request::ShowInfo => answers.item(&reports::info(self)).map(|()| Value::Null),
            Request::ShowPolicies => {
                self.policies.rows().iter().try_for_each(|row| answers.item(row))?;
                Ok(Value::Null)
            }
            Request::ShowInterfaces => {
                reports::interfaces(self).iter().try_for_each(|row| answers.item(row))?;
                Ok(Value::Null)
            }
            Request::ShowTables => {
                for (name, entries) in self.policies.environment().tables.list() {
                    answers.item(&TableRow { name, entries: entries as u64 })?;
                }
                Ok(Value::Null)
            }
            Request::ShowCarp => answers.item(&carp(self)?.report()?).map(|()| Value::Null),
            Request::Failover { undo } => carp(self)?.failover(undo).map(Value::from),
            Request::Demote { amount } => carp(self)?.demote(amount).map(Value::from),
            Request::KillStates { filter } => {
                let selects = reports::selector(self, &filter);
                let killed = self.gateway.kill(&selects);
                self.removed.fetch_add(killed, Ordering::Relaxed);
                Ok(Value::from(killed))
            }
            Request::PolicyLoad { name, file } => {
                let hash = self.policies.replace(&name, file).map_err(|e| format!("{e:#}"))?;
                tracing::info!(policy = name, hash, "policy replaced");
                Ok(Value::from(hash))
            }
            Request::PolicyUnload { name } => {
                self.policies.unload(&name).map_err(|e| format!("{e:#}"))?;
                tracing::info!(policy = name, "policy unloaded");
                Ok(Value::Null)
            }
            Request::TableAdd { table, entries } => {
                let entries = parse_entries(&entries).map_err(|e| e.to_string())?;
                let added = self.policies.environment().tables.add(&table, &entries);
                added.map(Value::from).map_err(|e| e.to_string())
            }
            Request::TableDelete { table, entries } => {
                let entries = parse_entries(&entries).map_err(|e| e.to_string())?;
                let deleted = self.policies.environment().tables.delete(&table, &entries);
                deleted.map(Value::from).map_err(|e| e.to_string())
            }
            Request::TableShow { table } => {
                let tables = &self.policies.environment().tables;
                for entry in tables.show(&table).map_err(|e| e.to_string())? {
                    answers.item(&TableEntryRow { entry: entry.to_string() })?;
                }
                Ok(Value::Null)
            }
        }
    }
}

fn carp(running: &Running) -> Result<&super::carp::Carp, String> {
    let none = || "this gateway has no [[carp]] in its configuration".to_owned();
    running.carp.as_ref().ok_or_else(none)
}
