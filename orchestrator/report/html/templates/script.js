(function () {
  "use strict";
  var controls = document.querySelector(".controls");
  var list = document.querySelector(".rollouts");
  if (!controls || !list) return;
  var all = Array.prototype.slice.call(list.querySelectorAll(".rollout"));
  if (!all.length) return;
  var words = all.map(function (item) { return item.textContent.toLowerCase(); });
  var filters = Array.prototype.slice.call(controls.querySelectorAll("[data-filter]"));
  var sort = controls.querySelector("[data-sort]");
  var search = controls.querySelector("[data-search]");
  var told = controls.querySelector("output");

  function apply() {
    var sought = search.value.trim().toLowerCase();
    var shown = 0;
    all.forEach(function (item, at) {
      var fits = filters.every(function (filter) {
        return !filter.value || item.dataset[filter.dataset.filter] === filter.value;
      });
      item.hidden = !(fits && (!sought || words[at].indexOf(sought) >= 0));
      if (!item.hidden) shown += 1;
    });
    told.textContent = shown + " of " + all.length;
    var key = sort.value.replace("-", "");
    var sign = sort.value.charAt(0) === "-" ? -1 : 1;
    all.map(function (item, at) { return { item: item, at: at }; })
      .sort(function (a, b) {
        var by = key ? sign * (Number(a.item.dataset[key]) - Number(b.item.dataset[key])) : 0;
        return by || a.at - b.at;
      })
      .forEach(function (each) { list.appendChild(each.item); });
  }

  filters.concat([sort, search]).forEach(function (control) {
    control.addEventListener("input", apply);
  });
  controls.hidden = false;
  apply();
})();
