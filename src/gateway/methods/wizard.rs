//! wizard.*.

use std::sync::Arc;

use super::{Method, methods};
use crate::base::rng::uuid;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::wizards::Found;
use crate::protocol::error::ErrorShape;
use crate::protocol::wizard::{WizardCancelParams, WizardNextParams, WizardStartParams, WizardStatusParams};
use crate::wizard::plan::Plan;
use crate::wizard::session::Session;
use crate::wizard::{Facts, Mode, Request};

pub(super) const METHODS: &[Method] = methods! {
    "wizard.start" Admin WizardStartParams start;
    "wizard.next" Admin WizardNextParams next;
    "wizard.cancel" Admin WizardCancelParams cancel;
    "wizard.status" Admin WizardStatusParams status;
};

fn start(cx: &Arc<Ctx>, call: &Call, params: WizardStartParams) -> Result<Reply, ErrorShape> {
    // What is in force is asked about; the file itself is read when the plan is carried out.
    let facts = Facts::new(cx.paths.clone(), cx.config.snapshot(), &*cx.rng);
    let facts = Facts { is_gateway_up: Some(true), ..facts };
    let mode = params.mode.as_deref().and_then(Mode::parse);
    let request = Request { mode, workspace: params.workspace, ..Request::default() };
    let session = Session::start(facts, request, cx.rng.clone());
    cx.wizards.start(uuid(&*cx.rng), session, call.conn, cx.clock.now()).map(Reply::Now)
}

fn next(cx: &Arc<Ctx>, call: &Call, params: WizardNextParams) -> Result<Reply, ErrorShape> {
    let id = params.session_id.0;
    let answer = params.answer.map(|answer| (answer.step_id.0, answer.value.unwrap_or_default()));
    let answer = answer.as_ref().map(|(step, value)| (step.as_str(), value.clone()));
    match cx.wizards.next(&id, answer, call.conn, cx.clock.now())? {
        Found::Answer(answer) => return Ok(Reply::Now(answer)),
        Found::Apply(plan) => apply(cx, call, id, *plan),
        Found::Wait => cx.wizards.wait(&id, call.ticket(cx)),
    }
    Ok(Reply::Later)
}

/// Carries the plan out in a job: it writes files.
fn apply(cx: &Arc<Ctx>, call: &Call, id: String, plan: Plan) {
    let ticket = call.ticket(cx);
    let (job_cx, job_id) = (cx.clone(), id.clone());
    let submitted = cx.jobs.submit(vec!["disk".to_owned()], move || {
        let result = plan.apply(&job_cx.paths, job_cx.clock.now_ms()).map(|_| ());
        match &result {
            Ok(()) => log::info!(target: "gateway", "wizard: the configuration was written"),
            Err(error) => log::error!(target: "gateway", "wizard: {error}"),
        }
        let (answer, waiters) = job_cx.wizards.applied(&job_id, result);
        for ticket in std::iter::once(ticket).chain(waiters) {
            ticket.finish(Ok(answer.clone()));
        }
    });
    if let Err(error) = submitted {
        // The job's ticket has answered as it was dropped.
        let (_, waiters) = cx.wizards.applied(&id, Err(error.to_string()));
        drop(waiters);
    }
}

fn cancel(cx: &Arc<Ctx>, _call: &Call, params: WizardCancelParams) -> Result<Reply, ErrorShape> {
    cx.wizards.cancel(&params.session_id).map(Reply::Now)
}

fn status(cx: &Arc<Ctx>, _call: &Call, params: WizardStatusParams) -> Result<Reply, ErrorShape> {
    cx.wizards.status(&params.session_id).map(Reply::Now)
}
