// The contracts of the members: asked for when the members change, while somebody looks at a page that shows them.

import { json, request } from "./api.js";
import { fleet } from "./fleet.js";
import { h } from "./dom.js";
import { poll } from "./widgets.js";

/** The time after which the console is asked again, in milliseconds: one that was not told may be told now. */
const AGAIN = 30000;

/** The answer for these members. */
const known = { answer: null, members: "", at: 0 };

/** The members, each with the hash of its contract. */
const members = () => (fleet.look?.members ?? []).map((one) => `${one.id} ${one.inspection?.contract}`).sort().join();

/** Calls `take(answer, error)` with the contracts, now and after each change; returns a function that ends this. */
export function watchContracts(take) {
  if (known.answer) take(known.answer, "");
  return poll(1000, async (signal) => {
    const now = members();
    if (fleet.look === null || (now === known.members && Date.now() - known.at < AGAIN)) return;
    try {
      const answer = await json("/api/contracts", {}, signal);
      Object.assign(known, { answer, members: now, at: Date.now() });
      take(answer, "");
    } catch (error) {
      if (error.status) take(known.answer, error.message);
      throw error;
    }
  });
}

/** The forms of a name: what is written and read under it, in each contract. */
export const place = (kind, name, signal) => json("/api/contracts/place", { kind, name }, signal);

/** Saves a document of a contract as a file. */
export async function save(form, hash) {
  const response = await request(`/api/contracts/${form}`, { hash });
  const url = URL.createObjectURL(await response.blob());
  h("a", { href: url, download: `${fleet.about?.namespace ?? "contract"}-${hash}.${form}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), AGAIN);
}
