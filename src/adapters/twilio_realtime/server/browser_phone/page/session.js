// The access of this browser: the one-time token of the link is exchanged for a session, which all
// requests then name. There is no cookie, so no other page can use it.

const KEY = "session";

export class AccessError extends Error {}

/** Return the session. Throws an `AccessError`, with a sentence for people, if there is none. */
export async function openSession() {
  const token = location.hash.slice(1);
  if (token) history.replaceState(null, "", location.pathname);
  const known = localStorage.getItem(KEY);
  if (known !== null && (await isValid(known))) return known;
  if (!token) {
    throw new AccessError("This page needs the link that the service has printed when it started.");
  }
  const answer = await post("session", { token });
  if (!answer.ok) throw new AccessError(await answer.text());
  const { session } = await answer.json();
  localStorage.setItem(KEY, session);
  return session;
}

async function isValid(session) {
  return (await post("session", { session })).ok;
}

/** Send JSON to a path below the page's. */
export function post(path, body) {
  return fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}
