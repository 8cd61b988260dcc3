// The filter of events: `user.* from:api-1 text:"Ada Lovelace"` as parameters of the stream.

/** Returns the parameters of a filter. Words without a prefix are event names, of which one must match. */
export function parse(words) {
  const names = [], wanted = {};
  for (const [, prefix, quoted, plain] of words.matchAll(/(?:(from|sender|text|control):)?(?:"([^"]*)"?|(\S+))/g)) {
    const value = quoted ?? plain;
    if (!prefix) names.push(value);
    else if (prefix === "control") wanted.control = value === "true" || value === "yes" ? "true" : null;
    else wanted[prefix === "from" ? "sender" : prefix] = value;
  }
  return { ...wanted, name: names.join(",") };
}
