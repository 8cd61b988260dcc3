// The contracts of the members: asked for when the members change, while a page that shows them is open.

import { json, request } from "./api.js";
import { fleet } from "./fleet.js";
import { h } from "./dom.js";
import { poll } from "./widgets.js";

/** The time after which the console is asked again, in milliseconds. */
const AGAIN = 30000;

/** The time after an error, and while a member has not responded, in milliseconds. */
const SOON = 5000;

/** The time that a browser has to save a document, in milliseconds. */
const SAVED = 30000;

/** The answer for these members. */
const known = { answer: null, members: "", next: 0 };

/** The members, each with the hash of its contract. */
const members = () => (fleet.look?.members ?? []).map((one) => `${one.id} ${one.inspection?.contract}`).sort().join();

/** Calls `take(answer, error)` with the contracts, now and after each change; returns a function that ends this. */
export function watchContracts(take) {
  if (known.answer) take(known.answer, "");
  return poll(1000, async (signal) => {
    const now = members();
    if (fleet.look === null || (now === known.members && Date.now() < known.next)) return;
    try {
      known.answer = await json("/api/contracts", {}, signal);
      known.next = Date.now() + (known.answer.has_silent ? SOON : AGAIN);
      take(known.answer, "");
    } catch (error) {
      if (signal.aborted) return;
      known.next = Date.now() + SOON;
      take(known.answer, error.status ? error.message : "The console does not answer.");
    }
    known.members = now;
  });
}

/** The forms of a name: what is written and read under it, in each contract. */
export const place = (kind, name, signal) => json("/api/contracts/place", { kind, name }, signal);

/** Saves a document of a contract as a file. */
export async function save(form, hash) {
  const response = await request(`/api/contracts/${form}`, { hash });
  const url = URL.createObjectURL(await response.blob());
  h("a", { href: url, download: `${fleet.about?.namespace ?? "contract"}-${hash}.${form}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), SAVED);
}
