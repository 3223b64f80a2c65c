// Pages that few visits need come when they are asked for, so that the first
// load stays light.
import type { ComponentType, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Empty, Skeleton } from "../ui/states";

/** A component that is loaded when it is first shown. */
export function later<P extends object>(load: () => Promise<ComponentType<P>>): (props: P) => JSX.Element {
  let loaded: ComponentType<P> | undefined;
  return function Later(props: P): JSX.Element {
    const [, drawn] = useState(false);
    const [failed, fail] = useState(false);
    useEffect(() => {
      if (!loaded) load().then((page) => { loaded = page; drawn(true); }, () => fail(true));
    }, []);
    if (failed) return <div class="page"><Empty title="This page did not load"><p>The server does not answer, or runs another version by now: load the address again.</p></Empty></div>;
    if (!loaded) return <div class="page"><Skeleton rows={8} label="Loading the page" /></div>;
    const Page = loaded;
    return <Page {...props} />;
  };
}
