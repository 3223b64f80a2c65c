// Keyboard: pages bind single keys; nothing is taken while a person types.
import { useEffect, useRef } from "preact/hooks";

/** Keys by their KeyboardEvent.key; a handler that returns false leaves the key alone. */
export type Bindings = Record<string, (event: KeyboardEvent) => unknown>;

const layers: Bindings[] = [];

function typing(target: EventTarget | null): boolean {
  const e = target as HTMLElement | null;
  return !!e && (e.tagName === "INPUT" || e.tagName === "TEXTAREA" || e.tagName === "SELECT" || e.isContentEditable);
}

/** Start listening. The newest layer that takes a key wins. */
export function listenForKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target) && event.key !== "Escape") return;
    // A dialog has the keyboard to itself.
    if (document.querySelector("dialog[open]")) return;
    // Enter on a focused control is that control's own.
    const control = (event.target as HTMLElement | null)?.closest?.("a, button, summary");
    if (control && (event.key === "Enter" || event.key === " ")) return;
    for (let i = layers.length - 1; i >= 0; i--) {
      const handler = layers[i]?.[event.key];
      if (handler && handler(event) !== false) {
        event.preventDefault();
        return;
      }
    }
  });
}

/** Bind keys while the component is shown. */
export function useKeys(bindings: Bindings, on = true): void {
  const latest = useRef(bindings);
  latest.current = bindings;
  useEffect(() => {
    if (!on) return;
    const layer: Bindings = new Proxy({}, {
      get: (_, name) => (typeof name === "string" ? latest.current[name] : undefined),
    });
    layers.push(layer);
    return () => {
      layers.splice(layers.indexOf(layer), 1);
    };
  }, [on]);
}
