// The page and its filters, which live in the fragment of the address: `#/events?filter=user.*`.

/** Returns the page's name and its parameters. */
export function current() {
  const [page, query] = location.hash.slice(1).replace(/^\//, "").split("?");
  return { page, parameters: new URLSearchParams(query ?? "") };
}

/** Changes parameters of the current page without a new entry in the history; an empty value removes one. */
export function remember(changes) {
  const { page, parameters } = current();
  for (const [name, value] of Object.entries(changes)) {
    if (value == null || value === "") parameters.delete(name);
    else parameters.set(name, value);
  }
  const query = parameters.size > 0 ? `?${parameters}` : "";
  history.replaceState(null, "", `${location.pathname}#/${page}${query}`);
}

/** Returns a parameter of the current page. */
export const parameter = (name) => current().parameters.get(name) ?? "";
