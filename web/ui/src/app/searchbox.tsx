// The search box: one line for any id, position or terms, which it completes.
import type { JSX, TargetedKeyboardEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { paths } from "../api/client";
import type { TopicList } from "../api/types";
import { complete, type Completion } from "../lib/query";
import { useResource } from "./resource";
import { go, pages, useLocation } from "./router";

interface Offer {
  from: number;
  to: number;
  list: Completion[];
  chosen: number; // -1: none, and Enter searches
}

export function SearchBox(props: { path: string }): JSX.Element {
  const { params } = useLocation();
  const q = props.path === "/" ? (params.get("q") ?? "") : "";
  const input = useRef<HTMLInputElement>(null);
  const [offer, setOffer] = useState<Offer | undefined>();
  const [wanted, want] = useState(false);
  const topics = useResource<TopicList>(wanted ? paths.topics : undefined, { hold: true });
  useEffect(() => { if (input.current && document.activeElement !== input.current) input.current.value = q; }, [q, props.path]);

  const look = (): void => {
    const box = input.current;
    const caret = box?.selectionStart;
    if (!box || caret === null || caret === undefined || caret !== box.selectionEnd) return setOffer(undefined);
    if (/\btopic:/i.test(box.value)) want(true);
    const names = topics.data?.topics.filter((t) => t.archived).map((t) => t.topic) ?? [];
    const { from, list } = complete(box.value, caret, names);
    setOffer(list.length > 0 ? { from, to: caret, list, chosen: -1 } : undefined);
  };
  useEffect(() => { if (document.activeElement === input.current && topics.data) look(); }, [topics.data]);

  const take = (at: number): void => {
    const box = input.current;
    const one = offer?.list[at];
    if (!box || !offer || !one) return;
    box.setRangeText(one.insert, offer.from, offer.to, "end");
    box.focus();
    look();
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    const text = input.current?.value.trim() ?? "";
    setOffer(undefined);
    input.current?.blur();
    go(pages.search(text || undefined), { state: { typed: true } });
  };
  const key = (event: TargetedKeyboardEvent<HTMLInputElement>): void => {
    if (event.key === "Escape") {
      event.preventDefault();
      if (offer) return setOffer(undefined);
      event.currentTarget.value = q;
      event.currentTarget.blur();
      return;
    }
    if (!offer) return;
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by) {
      event.preventDefault();
      const n = offer.list.length;
      setOffer({ ...offer, chosen: offer.chosen < 0 ? (by > 0 ? 0 : n - 1) : (offer.chosen + by + n) % n });
    } else if ((event.key === "Enter" || event.key === "Tab") && offer.chosen >= 0) {
      event.preventDefault();
      take(offer.chosen);
    }
  };
  return (
    <form class="searchbox" role="search" onSubmit={submit}>
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><circle cx="7" cy="7" r="4.5" /><path d="M10.5 10.5 14 14" /></svg>
      <input
        id="search" ref={input} type="text" defaultValue={q} spellcheck={false} autocomplete="off" autocapitalize="off" enterkeyhint="search"
        role="combobox" aria-autocomplete="list" aria-expanded={offer ? "true" : "false"} aria-controls="search-terms"
        aria-activedescendant={offer && offer.chosen >= 0 ? `search-term-${offer.chosen}` : undefined}
        aria-label="Search by any id, position or terms"
        placeholder="Any id, topic/partition/offset, or type:FxRate* after:2008-09-15"
        onInput={look} onKeyDown={key} onBlur={() => setOffer(undefined)}
      />
      <kbd aria-hidden="true">/</kbd>
      <ul id="search-terms" role="listbox" aria-label="Terms that could be meant" hidden={!offer}>
        {offer?.list.map((one, i) => (
          // The box keeps the focus: a click is taken before it could be lost.
          <li key={one.insert} id={`search-term-${i}`} role="option" aria-selected={i === offer.chosen ? "true" : "false"} onMouseDown={(e) => { e.preventDefault(); take(i); }}>
            <b>{one.insert}</b>{one.hint && <span>{one.hint}</span>}
          </li>
        ))}
      </ul>
    </form>
  );
}
