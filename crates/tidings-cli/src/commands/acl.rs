//! `tidings acl`: prints the command that gives a user its permissions.

use serde_json::json;
use tidings::acl::Permissions;

use crate::app::App;
use crate::args::Acl;
use crate::exit::{Exit, Problem};
use crate::output;
use crate::terminal::escape;

/// Adds permissions.
type Add = fn(Permissions) -> Permissions;

pub(crate) fn acl(app: &App, args: &Acl) -> anyhow::Result<Exit> {
    let namespace = app.settings()?.namespace.value;
    check_user(&args.user)?;
    let permissions = permissions(args, &namespace)?;
    let command = permissions.set_user(&args.user);
    if app.is_json() {
        output::json(&json!({
            "user": args.user,
            "command": command,
            "rules": permissions.to_string(),
        }))?;
    } else {
        output::result(escape(command))?;
    }
    Ok(Exit::Done)
}

/// Rejects a name that Redis does not accept.
fn check_user(user: &str) -> Result<(), Problem> {
    if user.is_empty() {
        return Err(Problem::usage("the name of the user is empty"));
    }
    let is_separator = |it: char| it.is_whitespace() || it.is_control();
    if user.contains(is_separator) {
        let text = format!(
            "`{}` cannot be a user: the name contains a space or a control character",
            escape(user)
        );
        return Err(Problem::usage(text));
    }
    Ok(())
}

fn permissions(args: &Acl, namespace: &str) -> Result<Permissions, Problem> {
    if args.sentinel {
        let of_sentinel = Permissions::of_sentinel();
        return Ok(match (args.administer, args.observe) {
            (true, _) => of_sentinel.administer(),
            (false, true) => of_sentinel.observe(),
            (false, false) => of_sentinel,
        });
    }
    let of_bus = Permissions::of_bus(namespace).map_err(|error| {
        let namespace = escape(namespace);
        Problem::usage(format!("`{namespace}` cannot be a namespace: {error}"))
    })?;
    let options: [(bool, Add); 14] = [
        (args.members, Permissions::be_member),
        (args.share, Permissions::share),
        (args.count, Permissions::count),
        (args.journal, Permissions::journal),
        (args.durable, Permissions::durable),
        (args.confirm, Permissions::confirm),
        (args.cluster || args.sharded, Permissions::find_nodes),
        (args.sharded, Permissions::shard),
        (args.databases, Permissions::select_database),
        (args.role, Permissions::check_role),
        (args.backlogs, Permissions::see_backlogs),
        (args.settings, Permissions::see_settings),
        (args.observe, Permissions::observe),
        (args.administer, Permissions::administer),
    ];
    let asked = options.into_iter().filter(|(is_asked, _)| *is_asked);
    Ok(asked.fold(of_bus, |permissions, (_, add)| add(permissions)))
}
