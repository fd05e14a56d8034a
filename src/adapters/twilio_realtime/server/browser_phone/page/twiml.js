// The answer of the webhook, read as Twilio reads it.

/** Return the stream that TwiML names. Throws an `Error`, with a sentence for people, for another. */
export function readTwiml(text) {
  const root = new DOMParser().parseFromString(text, "text/xml").documentElement;
  if (root.nodeName !== "Response") throw new Error("The webhook did not answer with TwiML.");
  for (const verb of root.children) {
    switch (verb.nodeName) {
      case "Connect": {
        const stream = verb.querySelector("Stream");
        if (stream === null) throw new Error("The TwiML has a <Connect> without a <Stream>.");
        const parameters = [...stream.querySelectorAll("Parameter")].map((parameter) => [
          parameter.getAttribute("name"),
          parameter.getAttribute("value"),
        ]);
        return { url: stream.getAttribute("url"), parameters: Object.fromEntries(parameters) };
      }
      case "Reject":
        throw new Error(`The call was refused: ${verb.getAttribute("reason") ?? "rejected"}.`);
      case "Hangup":
        throw new Error("The TwiML hangs up before there is a stream.");
      case "Say":
      case "Play":
      case "Pause":
      case "Start":
      case "Gather":
        break; // a call passes them on its way to the stream
      default:
        throw new Error(`The TwiML has a <${verb.nodeName}>, which this phone does not carry out.`);
    }
  }
  throw new Error("The TwiML ends without a stream.");
}
