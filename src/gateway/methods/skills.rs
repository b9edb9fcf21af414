//! skills.status, skills.bins, skills.install, skills.update.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Method, methods};
use crate::agent::{session, workspace};
use crate::base::ids::AgentId;
use crate::config::types::Config;
use crate::config::{load, tree, write};
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::remote_bins;
use crate::gateway::ticket::Outcome;
use crate::protocol::error::ErrorShape;
use crate::protocol::skills::{SkillsBinsParams, SkillsInstallParams, SkillsStatusParams, SkillsUpdateParams};
use crate::skills::install::{self, Installer};
use crate::skills::manifest::Skill;
use crate::skills::status::{self, Surroundings};
use crate::skills::{Sources, managed_dir};

pub(super) const METHODS: &[Method] = methods! {
    "skills.status" Read SkillsStatusParams status on disk;
    "skills.bins" Node SkillsBinsParams bins on disk;
    "skills.install" Admin SkillsInstallParams install;
    "skills.update" Admin SkillsUpdateParams update on disk;
};

/// One installation at a time: package managers lock each other out anyway, and others of lane `side` must not wait.
const INSTALL_LANE: &str = "skills.install";

fn status(cx: &Arc<Ctx>, _call: &Call, _params: SkillsStatusParams) -> Result<Reply, ErrorShape> {
    let config = config_on_disk(cx);
    let agent = session::default_agent(&config);
    let remote = cx.remote_bins.remote();
    let around = Surroundings::of_process(&config, remote.as_ref());
    let skills = cx.skills.all(&sources(cx, &config, &agent), cx.clock.now_ms());
    let skills: Vec<status::Status> = skills.iter().map(|skill| status::of(skill, &around)).collect();
    Ok(Reply::Now(json!({
        "workspaceDir": workspace::dir(&config, &cx.paths, &agent),
        "managedSkillsDir": managed_dir(&cx.paths),
        "skills": skills,
    })))
}

/// The programs that skills of any agent speak of; a node tells which of them it has.
fn bins(cx: &Arc<Ctx>, _call: &Call, _params: SkillsBinsParams) -> Result<Reply, ErrorShape> {
    Ok(Reply::Now(json!({"bins": all_bins(cx, &config_on_disk(cx))})))
}

/// Returns the programs that skills of any agent speak of.
pub fn all_bins(cx: &Ctx, config: &Config) -> BTreeSet<String> {
    let mut bins = BTreeSet::new();
    for agent in session::agent_ids(config) {
        for skill in cx.skills.all(&sources(cx, config, &agent), cx.clock.now_ms()) {
            let installed = skill.install.iter().flat_map(|spec| &spec.bins);
            bins.extend(skill.requires.bins.iter().chain(&skill.requires.any_bins).chain(installed).cloned());
        }
    }
    bins
}

/// Returns the skills that an agent can use as things are.
pub fn usable(cx: &Ctx, config: &Config, agent: &AgentId) -> Vec<Arc<Skill>> {
    let remote = cx.remote_bins.remote();
    let around = Surroundings::of_process(config, remote.as_ref());
    cx.skills.eligible(&sources(cx, config, agent), &around, cx.clock.now_ms())
}

fn install(cx: &Arc<Ctx>, call: &Call, params: SkillsInstallParams) -> Result<Reply, ErrorShape> {
    let ticket = call.ticket(cx);
    let job_cx = cx.clone();
    let submitted = cx.jobs.submit(vec![INSTALL_LANE.to_owned(), "side".to_owned()], move || {
        ticket.finish(run_install(&job_cx, &params));
    });
    match submitted {
        // A refused job dropped its ticket, which answered.
        Ok(()) | Err(_) => Ok(Reply::Later),
    }
}

fn run_install(cx: &Ctx, params: &SkillsInstallParams) -> Outcome {
    let config = config_on_disk(cx);
    let skills = cx.skills.all(&sources(cx, &config, &session::default_agent(&config)), cx.clock.now_ms());
    let cancel = cx.skills.begin_install();
    let installer = Installer {
        settings: &config.skills.install,
        paths: &cx.paths,
        timeout: install::timeout(params.timeout_ms),
        cancel: &cancel,
    };
    let result = installer.install(&skills, &params.name, &params.install_id);
    log::info!(target: "skills", "install {} ({}): {}", params.name.0, params.install_id.0, result.message);
    let payload = json!(result);
    if result.ok {
        remote_bins::skills_changed(cx);
        return Outcome::Ok(payload);
    }
    Outcome::Err { error: ErrorShape::unavailable(result.message), payload: Some(payload) }
}

fn update(cx: &Arc<Ctx>, _call: &Call, params: SkillsUpdateParams) -> Result<Reply, ErrorShape> {
    let mut entry = Value::Null;
    let edited = write::edit(&cx.paths, |file| {
        let slot = tree::object_mut(file, &["skills", "entries", &params.skill_key]);
        apply_update(slot, &params);
        entry = Value::Object(slot.clone());
        Ok(())
    });
    edited.map_err(ErrorShape::exception)?;
    remote_bins::skills_changed(cx);
    Ok(Reply::Now(json!({"ok": true, "skillKey": params.skill_key.0, "config": entry})))
}

fn apply_update(entry: &mut Map<String, Value>, params: &SkillsUpdateParams) {
    if let Some(enabled) = params.enabled {
        entry.insert("enabled".to_owned(), enabled.into());
    }
    if let Some(api_key) = &params.api_key {
        put(entry, "apiKey", api_key);
    }
    if let Some(env) = &params.env {
        let mut vars = match entry.remove("env") {
            Some(Value::Object(vars)) => vars,
            _ => Map::new(),
        };
        for (name, value) in env.iter().filter(|(name, _)| !name.trim().is_empty()) {
            put(&mut vars, name.trim(), value);
        }
        entry.insert("env".to_owned(), Value::Object(vars));
    }
}

fn put(object: &mut Map<String, Value>, key: &str, text: &str) {
    match text.trim() {
        "" => drop(object.shift_remove(key)),
        text => drop(object.insert(key.to_owned(), text.into())),
    }
}

fn sources(cx: &Ctx, config: &Config, agent: &AgentId) -> Sources {
    Sources::new(config, &cx.paths, &workspace::dir(config, &cx.paths, agent))
}

/// Returns the configuration as it is on disk: who has just changed a skill must see it before the watcher does. An
/// invalid file leaves the one in force.
fn config_on_disk(cx: &Ctx) -> Arc<Config> {
    let snapshot = load::load(&cx.paths);
    if snapshot.valid { snapshot.typed } else { cx.config.get() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_set_and_remove() {
        let mut entry = json!({"apiKey": "old", "env": {"A": "1", "B": "2"}, "config": {"x": 1}});
        let mut apply = |params: Value| {
            let params: SkillsUpdateParams = serde_json::from_value(params).expect("parameters");
            apply_update(entry.as_object_mut().expect("object"), &params);
            entry.clone()
        };
        let unchanged = apply(json!({"skillKey": "k"}));
        assert_eq!(unchanged["apiKey"], "old");
        let changed =
            apply(json!({"skillKey": "k", "enabled": false, "apiKey": " ", "env": {" A ": "", "C": " 3 ", " ": "x"}}));
        assert_eq!(changed, json!({"env": {"B": "2", "C": "3"}, "config": {"x": 1}, "enabled": false}));
        assert_eq!(apply(json!({"skillKey": "k", "apiKey": " new "}))["apiKey"], "new");
    }
}
