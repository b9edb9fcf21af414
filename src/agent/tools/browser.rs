//! `browser`: not built into this version. The row is here so that a configuration that wants it gets a clear answer.

use super::arguments::Arguments;
use super::policy::Subject;
use super::{Tool, ToolContext, ToolResult};

pub(super) const TOOL: Tool = Tool {
    name: "browser",
    description: "Control a browser. Not built into this version: every call says so. Use web_fetch for pages.",
    parameters: &[(
        "action",
        "status|start|stop|profiles|tabs|open|focus|close|snapshot|screenshot|navigate|console|pdf|upload|dialog|act*",
        "What to do",
    )],
    is_local: false,
    is_wanted: |subject: &Subject<'_>| subject.config.tree["browser"]["enabled"] == true,
    run,
};

fn run(_cx: &ToolContext<'_>, _args: &Arguments<'_>) -> Result<ToolResult, String> {
    Err("the browser is not built into this version; use web_fetch to read pages, or exec with a browser of this machine"
        .to_owned())
}
